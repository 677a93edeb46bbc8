// What the set-up tells the user: one line a step, a rewritten line with the percentage on a terminal.

/** A line every so often where the output is no terminal, so that a log shows that the download goes on. */
const secondsBetweenLines = 15;

/**
 * `step` is said unless quiet; `longStep` (minutes of work) always; `percent` follows a long step unless quiet, and
 * `endPercent` ends its line.
 * @typedef {{ step(text: string): void, longStep(text: string): void, percent(text: string, share: number): void,
 *   endPercent(): void }} Progress
 */

/**
 * @param {boolean} quiet
 * @param {NodeJS.WriteStream} [stream]
 * @returns {Progress}
 */
export function progressOn(quiet, stream = process.stderr) {
  let rewriting = false;
  let lastLine = Date.now();
  const longStep = (/** @type {string} */ text) => {
    lastLine = Date.now();
    stream.write(`clm set-up: ${text}\n`);
  };
  return {
    step: (text) => {
      if (!quiet) longStep(text);
    },
    longStep,
    percent: (text, share) => {
      if (quiet) return;
      const line = `clm set-up: ${text} ${Math.min(99, Math.floor(share * 100))} %`;
      if (stream.isTTY) {
        stream.write(`\r${line}`);
        rewriting = true;
      } else if (Date.now() - lastLine > secondsBetweenLines * 1000) {
        lastLine = Date.now();
        stream.write(`${line}\n`);
      }
    },
    endPercent: () => {
      if (rewriting) stream.write('\r\u001b[K');
      rewriting = false;
    },
  };
}
