/** The server: connections, routes, and how it begins and ends. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { environmentFailure, wrongInput } from '../errors.ts';
import { checkHost, checkKey, corsHeaders, preflightHeaders, type Access } from './access.ts';
import { answer, endStream, tooManyRequests } from './answer.ts';
import { ApiError, clientGone } from './apiError.ts';
import { askedOf, type Asked } from './asked.ts';
import { readJson } from './body.ts';
import type { Engine } from './engine.ts';
import type { ServedModel } from './served.ts';
import type { Usage } from './shapes.ts';

export interface ServerOptions extends Access {
  /** 0: one that is free. */
  port: number;
  /** From the arrival of a request to the end of its answer. */
  requestTimeoutMs: number;
  report: (fact: RequestFact) => void;
}

/** An answered request. */
export interface RequestFact {
  method: string;
  path: string;
  /** HTTP status; 499 if the client went first. */
  status: number;
  ms: number;
  /** Of requests that generate. */
  usage?: Usage;
  /** What the client was told went wrong. */
  message?: string;
  /** A bug of clm's, of which the client was told nothing. */
  bug?: unknown;
}

export interface RunningServer {
  url: string;
  /** Resolves when it has stopped. @throws what made the model unusable */
  ended: Promise<void>;
  /** Refuses new requests, finishes those it has, within a time, and ends. */
  stop(graceMs: number): void;
}

/** What a client is told of a bug or of a model that has become unusable. */
const failure = (): ApiError => new ApiError(500, 'The server failed; its log says why.');

/** Answers that are generated but not taken by their readers; beyond, the one that waits longest is cut off. */
const largestBacklog = 256;
const largestConnections = 1024;
/** How long a sender whose request is refused may go on before it is cut off, so that it can read why. */
const cutOffMs = 1000;

/** @throws if it cannot listen there */
export async function startServer(engine: Engine, model: ServedModel, options: ServerOptions): Promise<RunningServer> {
  const asked = askedOf(model);
  /** Requests that are being read or generated. */
  const open = new Set<AbortController>();
  const backlog = new Set<ServerResponse>();
  let isStopping = false;
  let whenIdle: () => void = () => {};

  const stopping = (): ApiError => new ApiError(503, 'The server is stopping.', { code: 'server_stopping' });

  /** Reads a request, generates its answer and writes it. */
  async function generated(
    request: IncomingMessage,
    response: ServerResponse,
    read: (body: unknown) => Asked,
  ): Promise<Usage> {
    if (isStopping) throw stopping();
    if (open.size >= engine.places) throw tooManyRequests();
    const controller = new AbortController();
    open.add(controller);
    response.on('close', () => controller.abort(clientGone));
    const timer = setTimeout(() => {
      if (response.writableEnded || backlog.has(response)) response.destroy();
      controller.abort(
        new ApiError(504, 'The request took too long.', {
          ...{ code: 'request_timeout', headers: { 'x-should-retry': 'false' } }, // OpenAI's clients would try again
        }),
      );
    }, options.requestTimeoutMs);
    response.on('close', () => clearTimeout(timer));
    try {
      const body = await readJson(request, response);
      return await answer(read(body), { response, engine, model, signal: controller.signal });
    } finally {
      open.delete(controller);
      if (!response.writableFinished && !response.destroyed) keepUntilTaken(response);
      controller.abort(); // what is left of a request that failed
      if (isStopping && open.size === 0) whenIdle();
    }
  }

  function keepUntilTaken(response: ServerResponse): void {
    backlog.add(response);
    response.on('close', () => {
      backlog.delete(response);
      if (isStopping && open.size === 0) whenIdle();
    });
    if (backlog.size > largestBacklog) [...backlog][0]!.destroy();
  }

  const modelEntry = { id: model.name, object: 'model', created: model.createdSeconds, owned_by: 'clm' };

  /** @returns the JSON of the answer, or what was generated and has been written */
  async function routed(request: IncomingMessage, response: ServerResponse, path: string): Promise<object | Usage> {
    const reads = request.method === 'GET' || request.method === 'HEAD';
    const allowing = (isAllowed: boolean, methods: string): void => {
      if (!isAllowed)
        throw new ApiError(405, `${path} does not know ${request.method}; use ${methods}.`, {
          ...{ code: 'method_not_allowed', headers: { allow: methods } },
        });
    };
    if (path === '/health') {
      allowing(reads, 'GET');
      if (isStopping) throw stopping();
      return { status: 'ok', model: model.name, ...engine.counts() };
    }
    checkKey(request.headers, options);
    if (path === '/v1/models') {
      allowing(reads, 'GET');
      return { object: 'list', data: [modelEntry] };
    }
    if (path.startsWith('/v1/models/')) {
      allowing(reads, 'GET');
      if (path === `/v1/models/${encodeURIComponent(model.name)}` || path === `/v1/models/${model.name}`)
        return modelEntry;
      throw new ApiError(404, 'This model does not exist.', { param: 'model', code: 'model_not_found' });
    }
    const kind = path === '/v1/completions' ? 'completion' : path === '/v1/chat/completions' ? 'chat' : undefined;
    if (kind === undefined)
      throw new ApiError(404, `There is nothing at ${path.slice(0, 100)}.`, { code: 'not_found' });
    allowing(request.method === 'POST', 'POST');
    return generated(request, response, asked[kind]);
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const beganMs = performance.now();
    const path = request.url!.split('?', 1)[0]!;
    const fact: RequestFact = { method: request.method!, path, status: 200, ms: 0 };
    const cors = corsHeaders(request.headers, options);
    for (const [name, value] of Object.entries({ 'x-request-id': `req_${randomUUID()}`, ...cors }))
      response.setHeader(name, value!);
    try {
      checkHost(request.headers, options);
      if (request.method === 'OPTIONS' && 'access-control-allow-origin' in cors) {
        fact.status = 204;
        response.writeHead(204, preflightHeaders(request.headers)).end();
      } else {
        const result = await routed(request, response, path);
        if ('prompt' in result) fact.usage = result as Usage;
        else sendJson(response, 200, result);
      }
    } catch (error) {
      refuse(request, response, error, fact);
    }
    fact.ms = performance.now() - beganMs;
    options.report(fact);
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown, fact: RequestFact): void {
    if (error === clientGone) {
      fact.status = clientGone.status;
      return;
    }
    const refusal = error instanceof ApiError ? error : failure();
    if (refusal !== error) fact.bug = error;
    fact.status = refusal.status;
    fact.message = refusal.message;
    if (response.headersSent) {
      endStream(response, refusal);
      setTimeout(() => response.destroy(), cutOffMs).unref();
      return;
    }
    if (!request.complete || isStopping) response.setHeader('connection', 'close');
    sendJson(response, refusal.status, refusal, refusal.details.headers);
    if (request.complete) return;
    request.resume();
    setTimeout(() => request.socket.destroy(), cutOffMs).unref();
  }

  const server = createServer({
    ...{ connectionsCheckingInterval: 1000, headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 65_000 },
  });
  server.maxConnections = largestConnections;
  for (const event of ['request', 'checkContinue'])
    server.on(event, (request: IncomingMessage, response: ServerResponse) => void handle(request, response));
  server.on('clientError', answerClientError);
  await listening(server, options);

  const ended = engine.run().catch(async (error: unknown) => {
    isStopping = true;
    for (const controller of open) controller.abort(failure());
    server.close();
    await sleep(cutOffMs); // until the answers have been sent
    server.closeAllConnections();
    throw error;
  });
  return {
    url: urlOf(server, options.host),
    ended,
    stop: (graceMs) => {
      if (isStopping) return cut();
      isStopping = true;
      const timer = setTimeout(cut, graceMs);
      whenIdle = () => {
        if (backlog.size > 0) return;
        clearTimeout(timer);
        server.close();
        server.closeAllConnections();
        engine.stop();
      };
      if (open.size === 0) whenIdle();
    },
  };

  /** Ends what is still under way. */
  function cut(): void {
    for (const controller of open) controller.abort(stopping());
    setTimeout(() => {
      backlog.clear();
      whenIdle();
    }, cutOffMs);
  }
}

function sendJson(response: ServerResponse, status: number, value: object, headers = {}): void {
  const body = JSON.stringify(value);
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers })
    .end(body);
}

/** Requests that are not HTTP, or come too slowly, have no `ServerResponse`. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const [status, reason, message] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? [408, 'Request Timeout', 'The request came too slowly.']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? [431, 'Request Header Fields Too Large', 'The headers are too large.']
        : [400, 'Bad Request', 'This is not an HTTP request.'];
  if (!socket.writable || socket.bytesWritten > 0) return void socket.destroy();
  const body = JSON.stringify(new ApiError(status as number, message as string));
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

/** @throws wrongInput for a host that this machine does not have; environmentFailure for a port that is taken */
async function listening(server: Server, { host, port }: Pick<ServerOptions, 'host' | 'port'>): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE')
      throw environmentFailure(`Port ${port} of ${host} is in use; choose another by --port, or 0 for any.`, { cause });
    if (code === 'EACCES')
      throw environmentFailure(`Port ${port} needs more rights than this user has; choose one above 1023.`, { cause });
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN')
      throw wrongInput(`--host: this machine has no address ${host}.`, { cause });
    throw cause;
  }
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
