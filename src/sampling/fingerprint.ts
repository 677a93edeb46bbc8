/**
 * What decides a completion, in a few characters, so that one made earlier is known to be the one that is asked for.
 */
import { createHash } from 'node:crypto';
import type { CompletionRequest } from './generate.ts';
import type { LoadedModel } from './loadModel.ts';

/** Of the model's weights and how they are kept, the prompt's tokens, and every setting. */
export function fingerprintOf(
  { promptTokenIds, settings }: Pick<CompletionRequest, 'promptTokenIds' | 'settings'>,
  { modelSha256, weights }: Pick<LoadedModel, 'modelSha256' | 'weights'>,
): string {
  const { samples: _, ...own } = settings; // the seed says which of them this is
  const sorted = Object.entries(own).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([modelSha256, weights, promptTokenIds, sorted]))
    .digest('base64url')
    .slice(0, 16);
}
