/** What an epoch contains, in words: for `clm plan`, `clm data check` and the start of `clm train`. */
import { fileCounts } from '../../data/files/corpus.ts';
import type { Corpus, Packing } from '../../data/files/corpus.ts';
import type { ReadCounts } from '../../data/files/utf8Chunks.ts';
import { ignoredParts } from '../../data/tokenizers/bpe/files/huggingFaceFile.ts';
import type { Tokenizer } from '../../data/tokenizers/tokenizer.ts';
import { grouped, note, printWarning } from './output.ts';

interface SupplyFigures {
  windowsPerEpoch: number;
  paddingShare: number;
  learntShare: number;
  leftoverTokens: number;
  splitDocuments: number;
  truncatedPairs: number;
  omittedPairs: number;
}

/**
 * A line about the token windows, and one about the loss mask if it excludes any token; of preference pairs also lines
 * about those that do not fit.
 */
export function supplyLines(figures: SupplyFigures, packing: Packing | undefined): string[] {
  const { windowsPerEpoch, paddingShare, learntShare, leftoverTokens, splitDocuments } = figures;
  const percent = (share: number): string => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 4 : 1)} %`;
  const isPreference = packing === 'preferences';
  const windows = `${grouped(windowsPerEpoch)} per epoch${isPreference ? ', each a preference pair in two rows' : ''}`;
  const leftover = leftoverTokens > 0 ? [`${grouped(leftoverTokens)} tokens left over`] : [];
  const padding = packing === 'documents' || isPreference ? [`${percent(paddingShare)} padding`] : [];
  const split = splitDocuments > 0 ? [`${grouped(splitDocuments)} documents longer than a window, split`] : [];
  return [
    [windows, ...padding, ...split, ...leftover].join(', '),
    ...(learntShare < 1
      ? [`${percent(learntShare)} of the tokens count towards the loss (completions, or turns of chats)`]
      : []),
    ...cutLines(figures),
  ];
}

/** Preference pairs that do not fit the context. */
function cutLines({ truncatedPairs, omittedPairs }: SupplyFigures): string[] {
  const cut = `${grouped(truncatedPairs)} pairs longer than the context, whose completions are cut at its end`;
  const omitted = `${grouped(omittedPairs)} pairs left out: the prompt fills the context, or nothing follows it`;
  return [...(truncatedPairs > 0 ? [cut] : []), ...(omittedPairs > 0 ? [omitted] : [])];
}

/** What is not trained on as it was given, a line each with a count: to be said before the first step. */
export function leftOutLines(counts: Readonly<ReadCounts> | undefined, corpus: Pick<Corpus, 'leftOutFiles'>): string[] {
  const { emptyFiles, hiddenFiles, repeatedFiles } = fileCounts(corpus);
  const { empty, hidden, repeated } = corpus.leftOutFiles ?? { empty: [], hidden: [], repeated: [] };
  const { badBytes = 0, emptyDocuments = 0, rowsWithoutText = 0, chatsWithoutLoss = 0, cutPrompts = 0 } = counts ?? {};
  const lines: [string, number, string?][] = [
    ['empty documents left out', emptyDocuments],
    ['rows without text passed over (emptyRows: skip)', rowsWithoutText],
    ['chats of which nothing counts towards the loss', chatsWithoutLoss],
    ['pairs whose prompt ends in other tokens when a completion follows, where scoring begins earlier', cutPrompts],
    ['invalid UTF-8 bytes, replaced or skipped', badBytes],
    ['empty files left out', emptyFiles, empty[0]],
    ['hidden files and folders left out', hiddenFiles, hidden[0]],
    ['further names of the same files passed over', repeatedFiles, repeated[0]],
  ];
  return lines
    .filter(([, count]) => count > 0)
    .map(([what, count, first]) => `${what}: ${grouped(count)}${first === undefined ? '' : ` (the first: ${first})`}`);
}

/** Says on stderr what is not read as it was given. */
export function reportLeftOut(
  counts: Readonly<ReadCounts> | undefined,
  corpus: Pick<Corpus, 'leftOutFiles'>,
  isQuiet: boolean,
): void {
  if (!isQuiet) for (const line of leftOutLines(counts, corpus)) note(line);
  const suspicion = suspicionText(counts);
  if (suspicion !== undefined) printWarning(suspicion);
}

/** Says on stderr what of the tokenizer's file is ignored. */
export function reportIgnored(tokenizer: Tokenizer, isQuiet = false): void {
  const ignored = ignoredParts(tokenizer);
  if (ignored !== undefined && !isQuiet) note(ignored);
}

/** A warning about records of CSV and TSV that were read whole but look like several; undefined without any. */
export function suspicionText(counts: Readonly<ReadCounts> | undefined): string | undefined {
  if (counts === undefined || counts.suspiciousRecords === 0) return undefined;
  const records = counts.suspiciousRecords === 1 ? 'record looks' : 'records look';
  return (
    `${grouped(counts.suspiciousRecords)} ${records} as if a stray quote had joined several: ` +
    `${counts.firstSuspicious}. If quotes are plain text in this file, set quotes: false in corpus.sources`
  );
}
