/** A server over a model of plain arithmetic: its logits depend on the tokens so far, and nothing native is loaded. */
import { configSchema } from '../../src/config/schema.ts';
import { withChat } from '../../src/data/tokenizers/tokenizerFile.ts';
import { bytesTokenizer } from '../../src/data/tokenizers/bytes.ts';
import { plainTemplate } from '../../src/data/chat/chatFormats.ts';
import { randomStream } from '../../src/random.ts';
import type { Decoding } from '../../src/sampling/decoding.ts';
import { logProbability } from '../../src/sampling/sampler.ts';
import { likeliestTokens } from '../../src/sampling/tokenTexts.ts';
import { defaultSettings, type CompletionSettings } from '../../src/sampling/settings.ts';
import { openEngine } from '../../src/server/engine.ts';
import { startServer, type RequestFact, type ServerOptions } from '../../src/server/httpServer.ts';
import type { ServedModel } from '../../src/server/served.ts';

export const tokenizer = withChat(bytesTokenizer({ endOfText: true }), {
  template: plainTemplate,
  specialTokens: { eos_token: '<|endoftext|>' },
});
const { vocabularySize: V } = tokenizer;
export const contextLength = 300;
const config = configSchema.parse({ name: 'fake', corpus: { sources: [{ path: '/nowhere' }] } });

/** (V) lower-case letters and the space are likely; the end of a text is not. */
export function logitsAfter(tokenIds: readonly number[]): Float32Array {
  const stream = randomStream(
    tokenIds.reduce((hash, id) => (hash * 31 + id) % 1_000_003, tokenIds.length),
    'logits',
  );
  const isLikely = (id: number): boolean => (id >= 97 && id < 123) || id === 32;
  return Float32Array.from({ length: V }, (_, id) => 4 * stream.uniform() + (isLikely(id) ? 0 : -9));
}

export interface FakeDecoding extends Decoding {
  /** Steps and prefills so far. */
  counts: { steps: number; prefills: number; copies: number };
  /** What was called, in order; prefills with the tokens of the prompt. */
  calls: string[];
  /** Awaited before each step. */
  gate: () => Promise<void>;
}

export function fakeDecoding(slots: number): FakeDecoding {
  const texts = Array.from({ length: slots }, (): number[] => []);
  const counts = { steps: 0, prefills: 0, copies: 0 };
  const calls: string[] = [];
  const prefill = async (slot: number, tokenIds: readonly number[]): Promise<Float32Array> => {
    counts.prefills++;
    calls.push(`prefill ${tokenIds.length}`);
    texts[slot] = [...tokenIds];
    return logitsAfter(tokenIds);
  };
  const decoding: FakeDecoding = {
    ...{ slots, contextLength, counts, calls, gate: () => new Promise((resolve) => setImmediate(resolve)) },
    length: (slot) => texts[slot]!.length,
    prefill,
    readOn: prefill,
    copy: async (from, to, length) => {
      if (texts[from]!.length < length) return false;
      counts.copies++;
      texts[to] = texts[from]!.slice(0, length);
      return true;
    },
    step: async (next) => {
      await decoding.gate();
      counts.steps++;
      calls.push('step');
      for (const [slot, tokenId] of next) texts[slot]!.push(tokenId);
      return new Map([...next.keys()].map((slot) => [slot, logitsAfter(texts[slot]!)]));
    },
    free: () => {}, // its tokens stay, for `copy`
    takeTimes: () => null,
  };
  return decoding;
}

interface FakeOptions extends Partial<ServerOptions> {
  slots?: number;
  queue?: number;
  model?: Partial<ServedModel>;
  defaults?: Partial<CompletionSettings>;
}

export async function fakeServer({ slots = 3, queue = 5, model, defaults, ...options }: FakeOptions = {}) {
  const decoding = fakeDecoding(slots);
  const score = async (tokenIds: readonly number[], count: number) => {
    const rows = tokenIds.slice(1).map((_, i) => logitsAfter(tokenIds.slice(0, i + 1)));
    return {
      logProbabilities: rows.map((row, i) => logProbability(row, tokenIds[i + 1]!)),
      alternatives: rows.map((row) => likeliestTokens(row, count, tokenizer)),
    };
  };
  const engine = openEngine({ decoding, score, tokenizer }, queue);
  const facts: RequestFact[] = [];
  const served: ServedModel = {
    ...{ name: 'fake', createdSeconds: 1234, fingerprint: 'clm-fake', tokenizer, contextLength, chatDate: null },
    defaults: { ...defaultSettings(config), maxTokens: 12, temperature: 1, seed: 5, ...defaults },
    ...model,
  };
  const server = await startServer(engine, served, {
    ...{ host: '127.0.0.1', port: 0, apiKeys: null, origins: [], requestTimeoutMs: 20_000 },
    report: (fact) => facts.push(fact),
    ...options,
  });
  const post = (path: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) =>
    fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...(signal && { signal }),
    });
  return {
    ...{ server, engine, decoding, facts, post },
    /** The answer of /v1/completions. */
    complete: async (body: object) => (await post('/v1/completions', body)).json() as Promise<CompletionAnswer>,
    /** The events of a streamed answer. */
    stream: async (path: string, body: object) => events(await (await post(path, { ...body, stream: true })).text()),
    close: async () => {
      server.stop(0);
      await server.ended;
    },
  };
}

export interface CompletionAnswer {
  id: string;
  choices: {
    index: number;
    text: string;
    finish_reason: string;
    logprobs: null | {
      tokens: string[];
      token_logprobs: (number | null)[];
      top_logprobs: (Record<string, number> | null)[];
      text_offset: number[];
    };
  }[];
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
  error?: { message: string; type: string; param: string | null; code: string | null };
}

/** The JSON of each event; the last one must be [DONE]. */
export function events(text: string): any[] {
  const all = text.trimEnd().split('\n\n');
  const data = all.map((event) => event.replace(/^data: /, ''));
  if (data.pop() !== '[DONE]') throw new Error(`the stream does not end with [DONE]: ${text.slice(-200)}`);
  return data.map((each) => JSON.parse(each) as unknown);
}
