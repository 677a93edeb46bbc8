/**
 * Continuous batching: completions of all requests are generated together, and each joins as soon as a slot is free and
 * leaves when it ends. Whoever waits does so in the order of arrival.
 */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import type { ExpectedError } from '../errors.ts';
import type { Completion, CompletionInProgress } from '../sampling/completion.ts';
import type { Decoding } from '../sampling/decoding.ts';
import { generate, type CompletionRequest } from '../sampling/generate.ts';
import type { PromptScores } from '../sampling/scoring/promptScores.ts';

/** A completion to generate, and who is told of it. */
export interface Job {
  /** Its signal ends it, whether it is waiting or under way. */
  request: CompletionRequest & { signal: AbortSignal };
  onText(text: string, progress: CompletionInProgress): void;
  onEnd(completion: Completion): void;
  onFailure(error: ExpectedError): void;
}

type Score = (tokenIds: readonly number[], alternatives: number) => Promise<PromptScores>;

export interface Engine {
  /** Jobs that can be under way and waiting at most. */
  readonly places: number;
  /** Adds jobs, all or none. @returns false if too many are waiting */
  submit(jobs: readonly Job[]): boolean;
  /** Scores a prompt between two tokens of the completions. */
  score: Score;
  counts(): { active: number; waiting: number };
  /** Generates until `stop` is called and all jobs have ended. @throws what makes the model unusable */
  run(): Promise<void>;
  stop(): void;
}

/** As many as a second or less of a small machine: completions under way wait for them. */
const promptTokensPerStep = 256;

/** @param queue completions that may wait for a slot */
export function openEngine(
  { decoding, score, tokenizer }: { decoding: Decoding; score: Score; tokenizer: Tokenizer },
  queue: number,
): Engine {
  const inTurn = turns();
  const computing: Decoding = {
    ...decoding,
    prefill: (...args) => inTurn(() => decoding.prefill(...args)),
    copy: (...args) => inTurn(() => decoding.copy(...args)),
    step: (...args) => inTurn(() => decoding.step(...args)),
  };
  let waiting: Job[] = [];
  const active = new Map<number, Job>();
  let started = 0;
  let isStopping = false;
  let wake: () => void = () => {};

  /** Jobs whose clients have gone leave the queue. */
  const stillWaiting = (): Job[] => (waiting = waiting.filter(({ request }) => !request.signal.aborted));

  const next = async (): Promise<IteratorResult<CompletionRequest, undefined>> => {
    for (;;) {
      const job = stillWaiting().shift();
      if (job !== undefined) {
        const index = started++;
        active.set(index, job);
        const onFailure = (error: ExpectedError): void => {
          active.delete(index);
          job.onFailure(error);
        };
        return { done: false, value: { ...job.request, onFailure } };
      }
      if (isStopping) return { done: true, value: undefined };
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };

  return {
    places: decoding.slots + queue,
    submit: (jobs) => {
      const free = decoding.slots - active.size;
      if (isStopping || stillWaiting().length + jobs.length > free + queue) return false;
      waiting.push(...jobs);
      wake();
      return true;
    },
    score: (...args) => inTurn(() => score(...args)),
    counts: () => ({ active: active.size, waiting: stillWaiting().length }),
    run: async () => {
      const requests = { [Symbol.asyncIterator]: () => ({ next }) };
      const options = { order: 'completed', promptTokensPerStep } as const;
      for await (const event of generate(computing, tokenizer, requests, options)) {
        const job = active.get(event.index)!;
        if (event.kind === 'text') {
          job.onText(event.text, event.progress);
          continue;
        }
        active.delete(event.index);
        job.onEnd(event.completion);
      }
    },
    stop: () => {
      isStopping = true;
      wake();
    },
  };
}

/** Runs one piece of work at a time, in the order asked: a session computes one program at a time. */
function turns(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}
