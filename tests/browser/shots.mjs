// Pictures of the pages at three widths, light and dark, to look at: node shots.mjs FOLDER [ADDRESS [PATH…]]

import { mkdirSync } from "node:fs";
import { openBrowser, openPage, serve } from "./browser.mjs";

const [folder, given, ...paths] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const site = given ? { address: given, close: () => {} } : await serve("--monitors", "60");
const browser = await openBrowser();
const wanted = paths.length ? paths : ["/", "/m/web-ams-01", "/incidents", "/daemon", "/nothing"];
for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 800, 1440]) {
    const { page, failures, close } = await openPage(browser, { colorScheme, viewport: { width, height: 1500 } });
    for (const path of wanted) {
      await page.goto(site.address + path);
      await page.waitForTimeout(300);
      const name = path.replace(/\W+/g, "_").replace(/^_|_$/g, "") || "overview";
      await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png` });
    }
    if (failures.length) console.error(width, colorScheme, failures);
    await close();
  }
}
await browser.close();
await site.close();
