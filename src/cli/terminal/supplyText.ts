/** What an epoch gives to train on, in words: for `clm plan`, `clm data check` and the start of `clm train`. */
import type { Packing } from '../../data/files/corpus.ts';
import { grouped } from './output.ts';

interface SupplyFigures {
  windowsPerEpoch: number;
  paddingShare: number;
  learntShare: number;
  leftoverTokens: number;
  splitDocuments: number;
}

/** A line for what the windows hold, and one for the loss where it is not taken everywhere. */
export function supplyLines(
  { windowsPerEpoch, paddingShare, learntShare, leftoverTokens, splitDocuments }: SupplyFigures,
  packing: Packing,
): string[] {
  const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 4 : 1)} %`;
  const windows = `${grouped(windowsPerEpoch)} an epoch`;
  const leftover = leftoverTokens > 0 ? [`${grouped(leftoverTokens)} tokens left over`] : [];
  const padding = packing === 'documents' ? [`${percent(paddingShare)} padding`] : [];
  const split = splitDocuments > 0 ? [`${grouped(splitDocuments)} documents longer than a window, cut`] : [];
  return [
    [windows, ...padding, ...split, ...leftover].join(', '),
    ...(learntShare < 1 ? [`the loss is taken of ${percent(learntShare)} of the tokens, the completions`] : []),
  ];
}
