/** Where clm keeps what it can make again: `clm` below the XDG cache folder, as the set-up does. */
import os from 'node:os';
import path from 'node:path';

/** A relative XDG_CACHE_HOME is ignored, as the XDG specification says. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'];
  return path.join(base !== undefined && path.isAbsolute(base) ? base : path.join(os.homedir(), '.cache'), 'clm');
}
