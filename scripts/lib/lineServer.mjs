/** Processes that answer lines of JSON, so that several programs can be measured in turns. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { root } from './clm.mjs';

/** @typedef {{ greeting: any, ask: (question: object) => Promise<any>, stop: () => Promise<unknown> }} Server */

/**
 * A process that answers a line of JSON with one; its first line is its greeting.
 * @param {string} command @param {string[]} args
 * @returns {Promise<Server>}
 */
export async function server(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args.join(' ')} ended early`);
    return JSON.parse(value);
  };
  const greeting = await answer();
  const ask = async (/** @type {object} */ question) => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    return answer();
  };
  const stop = () => new Promise((resolve) => child.once('close', resolve).stdin.end());
  return { greeting, ask, stop };
}
