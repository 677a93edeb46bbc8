/**
 * The answer to a request: its completions are submitted together, and written as one JSON or streamed as events. A
 * reader that is slow holds nobody up: what it has not taken is kept, joined to fewer events, and no more than that.
 */
import type { ServerResponse } from 'node:http';
import type { Completion } from '../sampling/completion.ts';
import { ApiError, badRequest } from './apiError.ts';
import type { Asked } from './asked.ts';
import type { Engine, Job } from './engine.ts';
import { shapeOf, type FinishReason, type Piece, type Shape, type Usage } from './shapes.ts';
import type { ServedModel } from './served.ts';
import { characterCount, scoresReader, type TokenScore } from './tokenScores.ts';

interface Answering {
  response: ServerResponse;
  engine: Engine;
  model: ServedModel;
  /** Ends the request: its client has gone, or its time is up. Its reason is what the client is told. */
  signal: AbortSignal;
}

/** Where the pieces of an answer go. */
interface Writer {
  piece(index: number, piece: Piece): void;
  end(index: number, finishReason: FinishReason): void;
  finish(usage: Usage): void;
}

/**
 * Answers; the promise resolves as soon as everything is generated, perhaps before the reader has taken it.
 *
 * @throws ApiError if the request cannot be answered; headers may have been sent
 */
export async function answer(asked: Asked, { response, engine, model, signal }: Answering): Promise<Usage> {
  const { choices, prompts, echoes, logprobs, isEchoOnly, isStreamed } = asked;
  if (choices.length > engine.places)
    throw badRequest(
      `The request asks for ${choices.length} completions; at most ${engine.places} are possible at once.`,
      choices.length > prompts.length ? 'n' : 'prompt',
    );
  const echoed = echoes ? await echoedPrompts(asked, engine, model, signal) : [];
  const usage: Usage = { prompt: prompts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0), completion: 0 };
  const shape = shapeOf(asked, model);
  const writer = isStreamed ? eventWriter(response, shape, asked) : jsonWriter(response, shape, asked);
  const open = (index: number): void => {
    if (echoes) writer.piece(index, echoed[Math.floor(index / (choices.length / prompts.length))]!);
  };
  if (isEchoOnly) {
    for (const index of choices.keys()) {
      open(index);
      writer.end(index, 'length');
    }
    writer.finish(usage);
    return usage;
  }
  await new Promise<void>((resolve, reject) => {
    let unfinished = choices.length;
    const jobs = choices.map(({ prompt, settings }, index): Job => {
      let shown = echoes ? characterCount(prompt.text) : 0;
      const scoresOf =
        logprobs === null ? undefined : scoresReader(model.tokenizer, shown, { continuesText: prompt.text !== '' });
      let isOpen = false;
      return {
        request: { prompt: prompt.text, promptTokenIds: prompt.tokenIds, settings, signal },
        onText: (text, progress) => {
          if (signal.aborted) return;
          if (!isOpen) open(index);
          isOpen = true;
          shown += characterCount(text);
          writer.piece(index, { text, scores: scoresOf?.(progress, shown) ?? [] });
        },
        onEnd: (completion) => {
          usage.completion += completion.tokens;
          if (signal.aborted) return;
          if (!isOpen) open(index);
          writer.end(index, finishReasonOf(completion));
          if (--unfinished === 0) resolve();
        },
        onFailure: ({ message }) => reject(badRequest(message)),
      };
    });
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    if (signal.aborted) reject(signal.reason as Error);
    else if (!engine.submit(jobs)) reject(tooManyRequests());
  });
  writer.finish(usage);
  return usage;
}

/** The refusal of a request for which there is no place. */
export const tooManyRequests = (): ApiError =>
  new ApiError(429, 'Too many requests are waiting; try again in a second.', {
    ...{ code: 'rate_limit_exceeded', headers: { 'retry-after': '1' } },
  });

const finishReasonOf = ({ finishReason }: Completion): FinishReason => (finishReason === 'length' ? 'length' : 'stop');

/** The prompts as the answer repeats them. */
async function echoedPrompts(
  { prompts, logprobs }: Asked,
  engine: Engine,
  { tokenizer }: ServedModel,
  signal: AbortSignal,
): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (const { text, tokenIds } of prompts) {
    signal.throwIfAborted();
    let scores: TokenScore[] = [];
    if (logprobs !== null) {
      const { logProbabilities, alternatives } = await engine.score(tokenIds, logprobs);
      const scored = { tokenIds, logProbabilities: [null, ...logProbabilities], alternatives: [[], ...alternatives] };
      scores = scoresReader(tokenizer, 0, { continuesText: false, specialTokens: true })(scored, Infinity);
    }
    pieces.push({ text, scores });
  }
  return pieces;
}

/** Joins what follows to a piece. */
function extend(piece: { text: string; scores: TokenScore[] }, { text, scores }: Piece): void {
  piece.text += text;
  for (const score of scores) piece.scores.push(score);
}

function jsonWriter(response: ServerResponse, shape: Shape, { choices }: Asked): Writer {
  const pieces = choices.map(() => ({ text: '', scores: [] as TokenScore[], finishReason: 'length' as FinishReason }));
  return {
    piece: (index, piece) => extend(pieces[index]!, piece),
    end: (index, finishReason) => void (pieces[index]!.finishReason = finishReason),
    finish: (usage) => {
      const body = JSON.stringify(shape.whole(pieces, usage));
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
      response.end(body);
    },
  };
}

const msBetweenEvents = 10;

/** Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */
function eventWriter(response: ServerResponse, shape: Shape, { choices, includesUsage }: Asked): Writer {
  /** What the reader has not taken yet, by choice. */
  const held = new Map<number, { text: string; scores: TokenScore[]; finishReason?: FinishReason }>();
  let last: Usage | undefined;
  let isScheduled = false;
  let flushedMs = -Infinity;

  const flush = (): void => {
    isScheduled = false;
    if (response.writableNeedDrain || response.writableEnded || response.destroyed) return;
    const events: (object | undefined)[] = [];
    if (!response.headersSent) {
      // The stream begins with the first token: what goes wrong before has a status of its own.
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
      for (const index of choices.keys()) events.push(shape.opening(index));
    }
    for (const [index, { finishReason, ...piece }] of held) {
      if (piece.text !== '' || piece.scores.length > 0) events.push(shape.part(index, piece));
      if (finishReason !== undefined) events.push(shape.closing(index, finishReason));
    }
    held.clear();
    flushedMs = performance.now();
    if (last !== undefined && includesUsage) events.push(shape.usage(last));
    const lines = events.map((event) => (event === undefined ? '' : `data: ${JSON.stringify(event)}\n\n`)).join('');
    if (last !== undefined) response.end(`${lines}data: [DONE]\n\n`);
    else if (lines !== '') response.write(lines);
  };
  /**
   * The first token is sent at once, the others not more often than a reader can see: an event takes longer than a
   * token of a small model. It is a later turn of the event loop, when the next tokens are being computed elsewhere.
   */
  const flushLater = (): void => {
    if (isScheduled) return;
    isScheduled = true;
    const waitMs = flushedMs + msBetweenEvents - performance.now();
    if (waitMs > 0) setTimeout(flush, waitMs);
    else setImmediate(flush);
  };
  response.on('drain', flush);
  const heldOf = (index: number) => {
    const own = held.get(index) ?? { text: '', scores: [] };
    held.set(index, own);
    return own;
  };
  return {
    piece: (index, piece) => {
      extend(heldOf(index), piece);
      flushLater();
    },
    end: (index, finishReason) => {
      Object.assign(heldOf(index), { finishReason });
      flushLater();
    },
    finish: (usage) => {
      last = usage;
      flush();
    },
  };
}

/** Ends a stream that has begun with what went wrong. */
export function endStream(response: ServerResponse, error: ApiError): void {
  response.end(`data: ${JSON.stringify(error)}\n\n`);
}
