/** What an epoch contains, in words: for `clm plan`, `clm data check` and the start of `clm train`. */
import type { Packing } from '../../data/files/corpus.ts';
import { grouped } from './output.ts';

interface SupplyFigures {
  windowsPerEpoch: number;
  paddingShare: number;
  learntShare: number;
  leftoverTokens: number;
  splitDocuments: number;
}

/** A line about the token windows, and one about the loss mask if it excludes any token. */
export function supplyLines(
  { windowsPerEpoch, paddingShare, learntShare, leftoverTokens, splitDocuments }: SupplyFigures,
  packing: Packing,
): string[] {
  const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 4 : 1)} %`;
  const windows = `${grouped(windowsPerEpoch)} per epoch`;
  const leftover = leftoverTokens > 0 ? [`${grouped(leftoverTokens)} tokens left over`] : [];
  const padding = packing === 'documents' ? [`${percent(paddingShare)} padding`] : [];
  const split = splitDocuments > 0 ? [`${grouped(splitDocuments)} documents longer than a window, split`] : [];
  return [
    [windows, ...padding, ...split, ...leftover].join(', '),
    ...(learntShare < 1 ? [`${percent(learntShare)} of the tokens count towards the loss (the completions)`] : []),
  ];
}
