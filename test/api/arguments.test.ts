import { describe, expect, it } from 'vitest';
import { complete, completeAll, InputError, loadRun, openRun, score, stream, type Run } from '../../src/api.ts';
import { askedPrompt } from '../../src/api/arguments.ts';

/** What a JavaScript program may pass, which TypeScript refuses. */
const any = (value: unknown): never => value as never;
const run: Run = any({});

describe('the JavaScript API', () => {
  it.each<[() => Promise<unknown>, string]>([
    [() => loadRun('run', { weights: any('int4') }), "weights must be float32, bfloat16 or int8, not 'int4'"],
    [() => loadRun('run', { device: any('tpu') }), "device must be auto, cpu or cuda, not 'tpu'"],
    [
      () => loadRun('run', any({ weight: 'int8' })),
      'weight is not an option of loadRun; the options are checkpoint, device, weights, batch',
    ],
    [() => loadRun('run', any(null)), 'the options of loadRun must be an object, not null'],
    [() => loadRun(any(5)), 'loadRun needs the path of a run directory as a text, not 5'],
    [() => loadRun(any(undefined)), 'loadRun needs the path of a run directory as a text, not undefined'],
    [() => openRun(any(5)), 'openRun needs the path of a run directory as a text, not 5'],
    [() => complete(run, 'a', any(5)), 'the settings must be an object, not 5'],
    [() => complete(run, 'a', { samples: 3 }), 'complete gives one completion; leave samples out, or use completeAll'],
    [() => complete(run, { prompt: 'a', samples: 3 }), 'complete gives one completion; leave samples out'],
    [() => stream(run, 'a', { samples: 2 }).next(), 'stream gives one completion; leave samples out'],
    [() => completeAll(run, any(undefined)).next(), 'completeAll needs a list of prompts, or an (async) iterable'],
    [() => completeAll(run, 'abc').next(), 'completeAll needs a list of prompts, not one text'],
    [() => completeAll(run, ['a'], any(null)).next(), 'the settings must be an object, not null'],
    [() => score(run, any(5)), 'score needs a text, or an object with prompt and choices, not 5'],
    [() => score(run, any(null)), 'score needs a text, or an object with prompt and choices, not null'],
    [() => score(run, any({ prompt: 'a' })), 'choices must be a list of at least one text, not undefined'],
    [() => score(run, { prompt: 'a', choices: any('abc') }), "at least one text, not 'abc'"],
    [() => score(run, { prompt: 'a', choices: [] }), 'choices must be a list of at least one text, not []'],
    [() => score(run, { prompt: 'a', choices: ['b', any(1)] }), 'choices[1] must be a text, not 1'],
    [
      () => score(run, any({ prompt: 'a', choice: ['b'] })),
      'choice is not a key of score; the keys are prompt, choices',
    ],
  ])('%s is refused as wrong input', async (call, message) => {
    const error: unknown = await call().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(InputError);
    expect((error as InputError).message).toContain(message);
  });

  it.each([
    [5, 'a prompt must be a text, or an object with prompt or messages, not 5'],
    [null, 'a prompt must be a text, or an object with prompt or messages, not null'],
    [{ prompt: 5 }, 'prompt must be a text, not 5'],
    [{ promt: 'a' }, 'a prompt that is an object needs the key prompt or messages; its keys are: promt'],
    [{ prompt: 'a', messages: [] }, 'prompt and messages are both given'],
    [{ messages: 'a' }, 'messages is "a", not a list of messages'],
  ])('%j is refused as a prompt', (given, message) => {
    expect(() => askedPrompt(given)).toThrow(InputError);
    expect(() => askedPrompt(given)).toThrow(message);
  });

  it('takes a text, or an object with settings, as a prompt', () => {
    expect(askedPrompt('a')).toEqual({ prompt: 'a' });
    expect(askedPrompt({ prompt: '', seed: 3 })).toEqual({ prompt: '', settings: { seed: 3 } });
  });
});
