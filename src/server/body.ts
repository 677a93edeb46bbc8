/** The JSON body of a request, read with a limit. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError, badRequest, clientGone } from './apiError.ts';

/** Enough for any prompt that fits into a context; prompts of token ids take about 7 bytes a token. */
export const largestBody = 1 << 20;

/** @throws ApiError if it is too large, not JSON or not UTF-8 */
export async function readJson(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity', expect } = request.headers;
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type))
    throw new ApiError(415, 'The body must be JSON; send "Content-Type: application/json".');
  if (encoding !== 'identity') throw new ApiError(415, 'The body must not be compressed.');
  if (Number(request.headers['content-length'] ?? 0) > largestBody) throw tooLarge();
  if (expect !== undefined) response.writeContinue();
  const bytes = await readBytes(request);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw badRequest('The body is not valid UTF-8.');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`The body is not valid JSON: ${(error as Error).message}`);
  }
}

const tooLarge = (): ApiError => new ApiError(413, `The body is larger than ${largestBody} bytes.`);

function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > largestBody) {
        request.removeAllListeners('data').pause();
        reject(tooLarge());
      } else chunks.push(chunk);
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    for (const event of ['error', 'close']) request.on(event, () => reject(clientGone)); // no matter once it is read
  });
}
