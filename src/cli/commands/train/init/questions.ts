/** Questions of `clm init` on a terminal, each asked until the answer will do. */
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { ExpectedError, wrongInput } from '../../../../errors.ts';
import { takesEscapes } from '../../../terminal/abilities.ts';
import { printError } from '../../../terminal/output.ts';

export interface Questions {
  /** Asks until `accept` takes the answer; its errors are printed. */
  ask: <Answer>(question: string, accept: (answer: string) => Answer | Promise<Answer>) => Promise<Answer>;
  close: () => void;
}

export function openQuestions(): Questions {
  const terminal = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY && takesEscapes(process.stderr),
  });
  terminal.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const left = new Promise<never>((_, reject) =>
    terminal.once('close', () => reject(wrongInput('There was no answer; no config was written.'))),
  );
  left.catch(() => undefined); // matters only while a question is open
  return {
    ask: async (question, accept) => {
      for (;;) {
        const answer = (await Promise.race([terminal.question(question), left])).trim();
        try {
          return await accept(answer);
        } catch (error) {
          if (!(error instanceof ExpectedError)) throw error;
          printError(error.message);
        }
      }
    },
    close: () => terminal.close(),
  };
}

/** A path as people type or drop it on a terminal: with quotes, escaped spaces or a tilde, which no shell has read. */
export function typedPath(answer: string): string {
  const quoted = /^(['"])(.*)\1$/.exec(answer)?.[2];
  const plain = quoted ?? answer.replace(/\\([ '"()&\\])/g, '$1');
  return /^~(\/|$)/.test(plain) ? path.join(os.homedir(), plain.slice(1)) : plain;
}
