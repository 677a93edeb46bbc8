/** What `clm data check` says of text that occurs more than once: lines for its result, and warnings. */
import path from 'node:path';
import type { CorpusCheck } from '../../../data/check/checkCorpus.ts';
import type { Place } from '../../../data/check/places.ts';
import { shortestLineBytes } from '../../../data/check/lines.ts';
import { bytesText } from '../../../units.ts';
import { grouped } from '../../terminal/output.ts';

/** From this share of the validation lines on, those that are also trained on draw a warning. */
const warnedShare = 0.2;
/** Fewer validation lines than this say nothing: in chats and short lines, one may be a common phrase. */
const fewestLines = 10;
const shownPassages = 3;

/** @param hasDocuments whether the corpus has documents; otherwise it is one running text */
export function repetitionLines(result: CorpusCheck, hasDocuments: boolean): string[] {
  const { duplicates, duplicateExamples, equalFiles, emptyDocuments, overlap, repeated, validation } = result;
  const first = duplicateExamples[0];
  const where = first === undefined ? '' : ` (the first: ${placeText(first.at)} repeats ${placeText(first.of)})`;
  const fileLines = equalFiles.examples.slice(0, shownPassages).map(({ path: copy, equals, isInBothParts }) => {
    const parts = isInBothParts ? ', in the other part' : '';
    return `  ${shown(copy)} equals ${shown(equals)}${parts}`;
  });
  return [
    ...(hasDocuments
      ? [`duplicate documents: ${grouped(duplicates)}${where}; empty documents left out: ${grouped(emptyDocuments)}`]
      : []),
    `files that equal an earlier file: ${grouped(equalFiles.count)}`,
    ...fileLines,
    `training lines that repeat an earlier training line: ${ofLines(repeated)}`,
    ...repeated.passages.slice(0, shownPassages).map((each) => `  ${passageText(each, each.at, 'repeats', each.of)}`),
    ...(hasDocuments
      ? [
          'validation documents that are also in the training text: ' +
            `${grouped(overlap.documents)} of ${grouped(validation.documents)}`,
        ]
      : []),
    `validation lines that are also in the training text: ${ofLines(overlap)}`,
    ...overlap.passages
      .slice(0, shownPassages)
      .map((each) => `  ${passageText(each, each.validation, 'is also', each.training)}`),
  ];
}

export function repetitionWarnings({ overlap, equalFiles }: CorpusCheck): string[] {
  const lowLoss = 'the validation loss is too low';
  const files = equalFiles.examples.find(({ isInBothParts }) => isInBothParts);
  return [
    ...(files === undefined
      ? []
      : [
          `${counted(equalFiles.inBothParts, 'file is', 'files are')} in both parts, training and validation ` +
            `(${shown(files.path)} equals ${shown(files.equals)}): ${lowLoss}`,
        ]),
    ...(overlap.documents > 0 ? [`${trainedDocuments(overlap.documents)} also trained on: ${lowLoss}`] : []),
    ...(overlap.share >= warnedShare && overlap.ofLines >= fewestLines ? [`${trainedLines(overlap)}: ${lowLoss}`] : []),
  ];
}

const trainedLines = ({ lines, ofLines, share, everyLine }: CorpusCheck['overlap']): string =>
  `${everyLine === 1 ? '' : 'about '}${grouped(lines)} of ${grouped(ofLines)} validation lines ` +
  `(${percent(share)}) are also trained on`;

const trainedDocuments = (count: number): string =>
  counted(count, 'validation document is', 'validation documents are');

function ofLines({ lines, ofLines, share, everyLine }: CorpusCheck['repeated' | 'overlap']): string {
  const about = everyLine === 1 ? '' : `about `;
  const sample = everyLine === 1 ? '' : `, by a sample of every ${everyLine}th`;
  const of = `${about}${grouped(lines)} of ${grouped(ofLines)} lines of ${shortestLineBytes} bytes or more`;
  return `${of}${lines > 0 ? ` (${percent(share)})` : ''}${sample}`;
}

function passageText(
  { lines, bytes, times }: { lines: number; bytes: number; times: number },
  at: Place,
  verb: string,
  of: Place,
): string {
  const often = times > 1 ? `, and ${counted(times - 1, 'more such passage', 'more such passages')}` : '';
  const size = `${counted(lines, 'line', 'lines')} (${bytesText(bytes)})`;
  return `${size}: ${placeText(at)} ${verb} ${placeText(of)}${often}`;
}

export function placeText({ path: file, byte, line, row }: Place): string {
  if (row !== null) return `row ${row} of ${shown(file)}`;
  return line === null ? `byte ${byte} of ${shown(file)}` : `line ${line} of ${shown(file)}`;
}

const counted = (count: number, one: string, many: string): string => `${grouped(count)} ${count === 1 ? one : many}`;

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.001 ? 3 : 1)} %`;

/** The path as a user would type it: relative if it is below the working directory. */
function shown(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative.startsWith('..') ? file : relative;
}
