/** The completions that a run samples while it trains, each also written to `samples/` of the run directory. */
import path from 'node:path';
import { ExpectedError } from '../errors.ts';
import { adapterOf } from '../model/adapter.ts';
import { parameterRoles } from '../model/trainedParameters.ts';
import { runPaths } from '../run/runPaths.ts';
import type { Session } from '../runtime/session.ts';
import { openDecoding } from '../sampling/decoding.ts';
import { generate } from '../sampling/generate.ts';
import { defaultPrompt, requestsOf } from '../sampling/requests.ts';
import { defaultSettings } from '../sampling/settings.ts';
import { writeFileDurably } from '../storage/durable.ts';
import type { PreparedTraining } from './prepare.ts';

/** Samples a completion after `step` updates. */
export type Sampler = (step: number) => Promise<{ prompt: string; completion: string }>;

/** The file of the sample of a step. */
export const sampleFile = (runDirectory: string, step: number): string =>
  path.join(runPaths(runDirectory).samples, `step-${String(step).padStart(8, '0')}.txt`);

/**
 * @param warn called if the disk refuses a file: training continues
 * @param renewLock see `RunLock.renew`
 */
export function openSamples(
  session: Session,
  { config, tokenizer, runDirectory }: PreparedTraining,
  warn: (message: string) => void,
  renewLock?: () => Promise<string | undefined>,
): Sampler {
  const { trained, frozen } = parameterRoles(config, tokenizer.vocabularySize);
  const decoding = openDecoding(session, config.model, [...frozen, ...trained], 1, {
    adapter: adapterOf(config),
    isTraining: true,
  });
  const prompt = defaultPrompt(config, tokenizer);
  const options = { settings: defaultSettings(config), tokenizer, contextLength: config.model.contextLength };
  return async (step) => {
    let completion = '';
    for await (const event of generate(decoding, tokenizer, requestsOf({ prompt }, options), { order: 'input' })) {
      if (event.kind === 'text') completion += event.text;
    }
    try {
      const moved = await renewLock?.();
      await writeFileDurably(sampleFile(moved ?? runDirectory, step), prompt + completion);
    } catch (error) {
      if (!(error instanceof ExpectedError) || error.kind !== 'environment') throw error;
      warn(error.message);
    }
    return { prompt, completion };
  };
}
