/**
 * One line at the bottom of the terminal that is drawn over and over, such as a progress bar. The cursor is neither
 * hidden nor moved to another line, so that a stop, a kill or Ctrl-Z leaves nothing behind that had to be restored.
 */

import { canRedraw } from './abilities.ts';

let shown = '';

/** Draws the line, cut to the width of the terminal. */
export function showLive(text: string): void {
  const line = text.slice(0, process.stderr.columns - 1);
  process.stderr.write(`${toItsStart()}${line}\x1b[J`);
  shown = line;
}

/** Shows what the program waits for, and for how long, until the function that it returns is called. */
export function showWaiting(what: string): () => void {
  if (!canRedraw(process.stderr)) return () => {};
  const beganMs = performance.now();
  const show = (): void => showLive(`${what} … ${Math.round((performance.now() - beganMs) / 1000)} s`);
  showLive(`${what} …`);
  const timer = setInterval(show, 1000).unref();
  return () => {
    clearInterval(timer);
    clearLive();
  };
}

export function clearLive(): void {
  if (shown !== '') process.stderr.write(`${toItsStart()}\x1b[J`);
  shown = '';
}

/** Calls `write`, which may write whole lines to stdout and stderr, and draws the live line again below them. */
export function aboveLive<Result>(write: () => Result): Result {
  if (shown === '') return write();
  const line = shown;
  clearLive();
  const result = write();
  showLive(line);
  return result;
}

/** Moves to the start of the line, which takes several rows if the window has become narrower. */
function toItsStart(): string {
  const rowsAbove = Math.ceil(shown.length / process.stderr.columns) - 1;
  return `${rowsAbove > 0 ? `\x1b[${rowsAbove}A` : ''}\r`;
}
