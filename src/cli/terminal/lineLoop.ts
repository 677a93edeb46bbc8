/**
 * A line to type at, with history, again and again, until Ctrl-D. Ctrl-C stops what a line has started; at the prompt
 * it ends the program too, or if that would lose something, empties the line.
 */
import { createInterface } from 'node:readline/promises';
import { DamagedCheckpointError, ExpectedError } from '../../errors.ts';
import { takesEscapes } from './abilities.ts';
import { note, printError } from './output.ts';

/**
 * @param greeting a first line on stderr, at a terminal
 * @param losesSomething whether what has been typed would be lost with the program
 * @param handle is called with each line that is not empty; wrong input is reported, and the next line asked for;
 *   a damaged checkpoint ends the loop
 */
export async function lineLoop(
  greeting: string,
  handle: (line: string, signal: AbortSignal) => Promise<void>,
  losesSomething: () => boolean = () => false,
): Promise<void> {
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY && takesEscapes(process.stderr),
    historySize: 1000,
  });
  let handling: AbortController | undefined;
  let isClosed = false;
  lines.once('close', () => (isClosed = true));
  const interrupt = (): void => {
    if (handling !== undefined) handling.abort();
    else if (!losesSomething() || !lines.terminal) lines.close();
    else {
      lines.write(null, { ctrl: true, name: 'e' });
      lines.write(null, { ctrl: true, name: 'u' });
      note('\nCtrl-D quits');
      lines.prompt();
    }
  };
  lines.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt); // if stdin is not a terminal
  note(greeting);
  lines.setPrompt('> ');
  lines.prompt();
  try {
    for await (const line of lines) {
      if (line !== '') {
        handling = new AbortController();
        try {
          await handle(line, handling.signal);
        } catch (error) {
          // Nothing that is typed next could do better with damaged weights.
          if (!(error instanceof ExpectedError) || error instanceof DamagedCheckpointError) throw error;
          printError(error.message); // e.g. a text that cannot be encoded; go on with the next
        } finally {
          handling = undefined;
        }
      }
      if (!isClosed) lines.prompt(); // Ctrl-D may have come with the line; a prompt would listen again
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
  }
}
