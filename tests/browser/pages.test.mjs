// The pages as people use them: in a browser, with and without script, by keyboard, at every width, light and dark.
// `make browser-test` runs this; shots.mjs takes pictures of the same.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { openBrowser, openPage, serve } from "./browser.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATHS = [
  ...["/", "/?q=shop", "/?tag=web", "/m/shop", "/m/bad?range=2y", "/m/new", "/incidents", "/daemon"],
  ...["/m/bad/acknowledge", "/m/shop/silence", "/silences", "/silences/new?monitors=s*&tags=prod"],
  ...["/maintenance", "/notifications", "/posts", "/posts/new", "/pages/customers/"],
];
const WIDTHS = [360, 800, 1440];
const WAIT = { timeout: 20000 };

let browser;
let site;

before(async () => {
  [browser, site] = await Promise.all([openBrowser(), serve()]);
});

after(async () => {
  await browser?.close();
  await site?.close();
});

// Opens a path, and fails if the browser reports unexpected errors.
async function look(path, options, use, complaints = []) {
  const { page, failures, close } = await openPage(browser, options);
  try {
    await page.goto(site.address + path, WAIT);
    await use(page);
    assert.deepEqual(failures, complaints);
  } finally {
    await close();
  }
}

// Until the answer is as wanted. Playwright's own way asks within the page, by eval, which the page's policy forbids.
async function until(ask, wanted) {
  const deadline = Date.now() + WAIT.timeout;
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return;
    assert.ok(Date.now() < deadline, `still ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const shownRows = (page) => page.$$eval(".monitors tbody tr:not([hidden])", (rows) => rows.map((row) => row.id));

for (const colorScheme of ["light", "dark"]) {
  for (const path of PATHS) {
    test(`${path} fits every width, without a complaint of the browser or of axe (${colorScheme})`, async () => {
      await look(path, { colorScheme }, async (page) => {
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 3000 });
          const [content, room] = await page.evaluate(() => [
            document.documentElement.scrollWidth,
            document.documentElement.clientWidth,
          ]);
          assert.ok(content <= room, `${content} px wide in ${room} px`);
          const found = await axe(page);
          assert.deepEqual(found, [], `at ${width} px`);
        }
      });
    });
  }
}

// What axe finds that is serious or critical. Evaluated by the debugger, which no policy of the page stops.
async function axe(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations
      .filter((one) => ["serious", "critical"].includes(one.impact))
      .map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)} ${one.nodes[0].failureSummary}`);
  });
}

test("what is typed finds at once, and is in the address", async () => {
  await look("/", {}, async (page) => {
    assert.equal((await shownRows(page)).length, 6);
    await page.fill("#q", "SHOP http");
    assert.deepEqual(await shownRows(page), ["row-shop"]);
    assert.equal(await page.textContent("#found"), "1 of 6 shown");
    assert.match(page.url(), /\?q=SHOP\+http$/);
    await page.fill("#q", "");
    assert.equal((await shownRows(page)).length, 6);
    assert.equal(await page.textContent("#found"), "");
  });
});

test("what the server left out is there again when one goes on typing", async () => {
  await look("/?q=shop", {}, async (page) => {
    assert.deepEqual(await shownRows(page), ["row-shop"]);
    await page.focus("#q");
    await page.keyboard.press("End");
    for (const letter of "shop") await page.keyboard.press("Backspace", { delay: 5, text: letter });
    await until(
      () => shownRows(page),
      (rows) => rows.length === 6,
    );
    assert.equal(await page.evaluate(() => document.activeElement.id), "q");
    await page.keyboard.type("blog");
    await until(
      () => shownRows(page),
      (rows) => rows.length === 1,
    );
    assert.equal(await page.inputValue("#q"), "blog");
  });
});

test("a change of state appears on the overview, and typed text stays", async () => {
  await look("/", {}, async (page) => {
    await page.fill("#q", "blog");
    await until(
      () => page.textContent("#live"),
      (said) => said === "live",
    );
    site.tell("blog", "timeout_connect");
    await page.waitForSelector("#row-blog.s-down", WAIT);
    assert.match(await page.textContent("#headline"), /^2 of 6 monitors are down/);
    assert.match(await page.title(), /^2 of 6 monitors are down/);
    assert.equal(await page.inputValue("#q"), "blog");
    assert.deepEqual(await shownRows(page), ["row-blog"]);
    assert.ok(await page.$(".attention #row-blog"));
  });
});

test("a page of one monitor follows it, and keeps open what was opened", async () => {
  await look("/m/new", {}, async (page) => {
    await page.waitForSelector(".hero.s-pending", WAIT);
    site.tell("new", "refused");
    await page.waitForSelector(".hero.s-down", WAIT);
    await page.waitForSelector(".failure", WAIT);
    await page.click(".failure summary");
    await page.evaluate(() => document.activeElement.blur());
    site.tell("new", "reset");
    await until(
      () => page.locator(".failure").count(),
      (count) => count >= 4,
    );
    assert.equal((await page.$$(".failure[open]")).length, 1);
  });
});

test("times are shown in the zone of the browser, and in UTC as a tooltip", async () => {
  await look("/m/bad", {}, async (page) => {
    const time = page.locator(".state-line time");
    assert.match(await time.getAttribute("title"), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);
    assert.doesNotMatch(await time.textContent(), /UTC/);
    assert.equal(await page.textContent("#zone"), "Europe/Berlin");
  });
});

test("the first stop of the keyboard leads to the content, and every row can be reached", async () => {
  await look("/", {}, async (page) => {
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    const reached = new Set();
    for (let stop = 0; stop < 40; stop += 1) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.closest("tr")?.id));
    }
    assert.ok(["row-shop", "row-bad", "row-slow", "row-a.b-c_d"].every((id) => reached.has(id)));
  });
});

test("without script all is there: finding, choosing, ranges, times in UTC, and renewal", async () => {
  await look("/", { javaScriptEnabled: false }, async (page) => {
    assert.ok((await page.content()).includes('<meta http-equiv="refresh" content="30">'));
    await page.fill("#q", "shop");
    await page.click(".find button");
    await page.waitForURL("**/?q=shop");
    assert.equal(await page.locator("tbody tr").count(), 1);
    await page.click("text=Show all");
    await page.click('nav[aria-label="By tag"] >> text=web');
    assert.equal(await page.locator("tbody tr").count(), 3);
    await page.click("#row-shop a");
    await page.waitForURL("**/m/shop");
    assert.match(await page.textContent(".state-line time"), /UTC$/);
    await page.click('.ranges >> text="7d"');
    assert.equal(await page.textContent(".ranges [aria-current]"), "7d");
    await page.click("text=Incidents >> nth=0");
    await page.click("text=Older");
    assert.match(await page.textContent(".lead"), /Older incidents/);
  });
});

test("animations are disabled if the user prefers reduced motion", async () => {
  await look("/", { reducedMotion: "reduce" }, async (page) => {
    await page.evaluate(() => document.getElementById("row-shop").classList.add("changed"));
    const name = await page.$eval("#row-shop > td", (cell) => getComputedStyle(cell).animationName);
    assert.equal(name, "none");
  });
});

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with" : "without";

  test(`an incident is acknowledged, and the acknowledgement removed, ${how} script`, async () => {
    await look("/m/bad", { javaScriptEnabled }, async (page) => {
      await page.click("text=Acknowledge");
      await page.waitForURL("**/m/bad/acknowledge");
      await page.getByLabel("Comment").fill("provider called");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/m/bad?notice=*");
      assert.match(await page.textContent(".notice"), /^bad: incident acknowledged by /);
      assert.match(await page.textContent(".hero"), /acknowledged by .*: provider called/);
      await page.click("text=Remove acknowledgement");
      await page.waitForFunction(() => document.querySelector(".notice")?.textContent.includes("removed"));
      assert.equal(await page.locator("text=Remove acknowledgement").count(), 0);
    });
  });

  test(`monitors are silenced after a preview, and the silence is ended, ${how} script`, async () => {
    const silence = async (page) => {
      const before = await page.locator(".entries li").count();
      await page.click("text=New silence");
      await page.getByLabel("Monitors").fill("sl*\nblog");
      await page.getByLabel("Comment").fill("new disks");
      await page.click('button:text-is("Preview")');
      await page.waitForURL("**/silences/new?*");
      assert.match(await page.textContent("#preview"), /2 monitors match now/);
      assert.equal(await page.inputValue("#comment"), "new disks");
      await page.getByLabel("or until a time").fill("2001-01-01T10:00");
      await page.click('button:text-is("Silence")');
      assert.match(await page.textContent("#error-until"), /is in the past/);
      assert.equal(await page.inputValue("#monitors"), "sl*\nblog");
      await page.getByLabel("or until a time").fill("");
      await page.click('button:text-is("Silence")');
      await page.waitForURL("**/silences?notice=*");
      assert.match(await page.textContent(".notice"), /^2 monitors: silenced until /);
      assert.equal(await page.locator(".entries li").count(), before + 1);
      await page.locator('.entries li:has-text("new disks"):has-text("sl*") button').click();
      await until(
        () => page.locator(".entries li").count(),
        (count) => count === before,
      );
    };
    const rejection = "Failed to load resource: the server responded with a status of 400 (Bad Request)";
    await look("/silences", { javaScriptEnabled }, silence, [rejection]);
  });
}

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with" : "without";
  test(`a post is created, updated, corrected and deleted, ${how} script`, async () => {
    await look("/posts/new", { javaScriptEnabled }, async (page) => {
      await page.fill("#title", "Slow <checkout>");
      await page.selectOption("#status", "identified");
      await page.fill("#text", "Some payments fail.\n\nWe look into it.");
      await page.click('button:text-is("Publish")');
      await page.waitForURL("**/posts/*?notice=*");
      assert.match(await page.textContent(".notice"), /^post created by /);
      assert.equal(await page.textContent("h1"), "Slow <checkout>");
      assert.equal(await page.inputValue("#status"), "identified");
      if (javaScriptEnabled) assert.deepEqual(await axe(page), []);
      await page.selectOption("#status", "resolved");
      await page.fill("#text", "Fxed.");
      await page.click('button:text-is("Publish")');
      await until(
        () => page.textContent(".notice"),
        (text) => text.startsWith("update added by "),
      );
      await page.click("[aria-label='Edit update 2']");
      if (javaScriptEnabled) assert.deepEqual(await axe(page), []);
      await page.fill("#text", "Fixed.");
      await page.click('button:text-is("Save")');
      await page.waitForURL("**/posts/*?notice=*");
      assert.deepEqual(await page.$$eval(".post-text", (texts) => texts.map((text) => text.textContent)), [
        "Fixed.",
        "Some payments fail.\n\nWe look into it.",
      ]);
      await page.click("summary");
      await page.click('button:text-is("Delete")');
      await page.waitForURL("**/posts?notice=*");
      assert.match(await page.textContent(".notice"), /^post \w+ deleted by /);
    });
  });
}

test("the end of a silence is entered in the zone of the browser", async () => {
  await look("/m/shop/silence", {}, async (page) => {
    assert.equal(await page.textContent("[data-zone]"), "Europe/Berlin");
    // The clock of the site begins on 1 January 2026 at 06:00 UTC.
    await page.getByLabel("or until a time").fill("2026-01-02T18:30");
    await page.click('button:text-is("Silence")');
    await page.waitForURL("**/m/shop?notice=*");
    assert.match(await page.textContent(".notice time"), /18:30/);
    await page.click("text=End silence");
    await page.waitForURL("**/silences?notice=*");
  });
});
