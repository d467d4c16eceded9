// Debian's Chromium, headless, and the site to look at with it.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const OFFLINE = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const openBrowser = () => chromium.launch({ executablePath: CHROMIUM, args: OFFLINE });

// An address to look at, and how to end it.
export async function serve(...words) {
  const script = fileURLToPath(new URL("serve.py", import.meta.url));
  const site = spawn("/usr/bin/python3", [script, ...words], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => site.once("exit", resolve));
  const [address] = await new Promise((resolve, reject) => {
    createInterface({ input: site.stdout }).once("line", (line) => resolve([line]));
    ended.then((status) => reject(new Error(`serve.py ended with ${status}`)));
  });
  return {
    address,
    // Makes a monitor answer so from now on.
    tell: (name, reason) => site.stdin.write(`${name} ${reason}\n`),
    close: () => {
      site.stdin.end();
      return ended;
    },
  };
}

// A page that fails the test that opened it when the browser complains of anything.
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", ...options });
  const page = await context.newPage();
  const failures = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) failures.push(message.text());
  });
  page.on("pageerror", (error) => failures.push(String(error)));
  page.on("requestfailed", (request) => {
    const why = request.failure().errorText;
    // A page that is left ends what it still waits for.
    if (why !== "net::ERR_ABORTED") failures.push(`${request.url()}: ${why}`);
  });
  return { page, failures, close: () => context.close() };
}
