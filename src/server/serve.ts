/** Serves a loaded model: `clm serve`. */
import type { LoadedModel } from '../sampling/loadModel.ts';
import { openDecoding, type Decoding } from '../sampling/decoding.ts';
import { openPromptScores } from '../sampling/scoring/promptScores.ts';
import type { CompletionSettings } from '../sampling/settings.ts';
import { keyValueCacheBytes } from '../training/plan/memory.ts';
import { largestBody } from './body.ts';
import { openEngine } from './engine.ts';
import { startServer, type RunningServer, type ServerOptions } from './httpServer.ts';

export interface ServeOptions extends ServerOptions {
  /** As clients call the model. */
  name: string;
  createdSeconds: number;
  /** Completions that are generated at the same time. */
  batch: number;
  /** Completions that may wait. */
  queue: number;
  /** At most that of the model. */
  contextLength: number;
  /** What requests leave out. */
  defaults: CompletionSettings;
}

/** Memory beside the weights, at most. */
export interface ServerMemory {
  /** Keys and values of all completions at their full length. */
  cacheBytes: number;
  /** Bodies of all requests that are under way or waiting. */
  requestBytes: number;
}

/** @throws as `startServer` */
export async function serve(
  { config, tokenizer, session, table, modelSha256, weights }: LoadedModel,
  options: ServeOptions,
): Promise<RunningServer & { memory: ServerMemory }> {
  const { name, createdSeconds, batch, queue, contextLength, defaults } = options;
  const model = { ...config.model, contextLength };
  const decoding = openDecoding(session, model, table, batch);
  const score = openPromptScores(session, model, table, tokenizer);
  await warmUp(decoding);
  const engine = openEngine({ decoding, score, tokenizer }, queue);
  const served = {
    ...{ name, createdSeconds, fingerprint: `clm-${modelSha256.slice(0, 12)}-${weights}` },
    ...{ tokenizer, contextLength, chatDate: config.corpus.chatDate, defaults },
  };
  const server = await startServer(engine, served, options);
  const memory = {
    cacheBytes: batch * keyValueCacheBytes(model),
    requestBytes: engine.places * largestBody,
  };
  return { ...server, memory };
}

/** Records the programs of short prompts, so that the first client does not wait for that. */
async function warmUp(decoding: Decoding): Promise<void> {
  await decoding.prefill(0, [0]);
  if (decoding.contextLength > 1) await decoding.step(new Map([[0, 0]]));
  decoding.free(0);
}
