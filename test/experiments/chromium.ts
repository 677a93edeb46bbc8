/** A real browser for tests of pages, if one is installed. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium, type BrowserContext } from 'playwright-core';

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
];

/** Path of Chromium or Chrome; undefined if there is none (`apt-get install chromium`). */
export const chromiumPath = places.find((place) => existsSync(place));

/** Opens the browser with a temporary profile, passes it on, and closes it. */
export async function withChromium<Result>(
  options: { viewport: { width: number; height: number }; colorScheme?: 'light' | 'dark'; isMobile?: boolean },
  use: (context: BrowserContext) => Promise<Result>,
): Promise<Result> {
  const profile = mkdtempSync(path.join(os.tmpdir(), 'clm-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu'],
    ...options,
  });
  try {
    return await use(context);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}
