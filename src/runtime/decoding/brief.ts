/** Native calls of under a millisecond, which run on the JavaScript thread: handing them to another takes as long. */

/** For so long, they follow each other without a turn of the event loop, which takes a tenth of their time. */
const longestTurnMs = 2;

/** When the latest turn of the event loop for a brief call began. */
let turnMs = -Infinity;

/** Runs `body` at once, or after the events that have waited for a few milliseconds. */
export const briefly = <T>(body: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    const run = (): void => {
      try {
        resolve(body());
      } catch (error) {
        reject(error as Error);
      }
    };
    if (performance.now() - turnMs < longestTurnMs) run();
    else
      setImmediate(() => {
        turnMs = performance.now();
        run();
      });
  });
