/** `clm tokenizer train|encode|decode|stats`: works with a tokenizer alone, without a model. */
import { existsSync } from 'node:fs';
import { writeOutputFile } from '../../../storage/outputFile.ts';
import { vocabularySizes } from '../../../config/schema.ts';
import { openCorpus } from '../../../data/files/openCorpus.ts';
import { sourceFiles } from '../../../data/files/sourceFiles.ts';
import { renderTokenizer, readTokenizerFile } from '../../../data/tokenizers/tokenizerFile.ts';
import { trainTokenizer } from '../../../data/tokens/trainTokenizer.ts';
import { wrongInput } from '../../../errors.ts';
import { grouped, note, printJson, printPart, printResult, printWarning } from '../../terminal/output.ts';
import { reportIgnored, reportLeftOut } from '../../terminal/supplyText.ts';
import { readInput, parseTokenIds, wellFormed } from '../../textInput.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { tokenizerTrainUsage, tokenizerEncodeUsage, tokenizerDecodeUsage, tokenizerStatsUsage } from './usage.ts';

export async function train({
  sources,
  vocabularySize,
  output,
  json,
  quiet,
}: ArgumentsOf<typeof tokenizerTrainUsage>): Promise<void> {
  const { least, most } = vocabularySizes;
  if (!Number.isSafeInteger(vocabularySize) || vocabularySize < least || vocabularySize > most) {
    throw wrongInput(`--vocabulary-size must be a whole number from ${least} to ${most}`);
  }
  if (existsSync(output))
    throw wrongInput(`${output} already exists. Remove it, or choose another file with --output.`);
  const beganMs = performance.now();
  const files = sources.map((path) => ({ path }));
  await sourceFiles(files, '--sources'); // so that a missing file is reported for the option, not for a config key
  const corpus = await openCorpus({ sources: files, validation: { tail: 0.5 }, shuffleTokens: 1024 });
  const { tokenizer, bytes, droppedWords, leftOut } = await trainTokenizer(
    corpus,
    { startByte: 0, endByte: corpus.bytes },
    vocabularySize,
  );
  reportLeftOut(leftOut, corpus, quiet);
  await writeOutputFile(output, renderTokenizer(tokenizer));
  const elapsedMs = Math.round(performance.now() - beganMs);
  if (tokenizer.vocabularySize < vocabularySize) {
    printWarning(`only ${tokenizer.vocabularySize} of ${vocabularySize} tokens: the text has no more pairs to merge`);
  }
  if (droppedWords > 0 && !quiet) note(`${grouped(droppedWords)} rare words were left out to limit the memory`);
  if (json) printJson({ vocabularySize: tokenizer.vocabularySize, bytes, elapsedMs, output });
  else printResult(`${grouped(tokenizer.vocabularySize)} tokens from ${grouped(bytes)} bytes, written to ${output}`);
}

export async function encode(args: ArgumentsOf<typeof tokenizerEncodeUsage>): Promise<void> {
  const tokenizer = await readTokenizerFile(args.tokenizer);
  reportIgnored(tokenizer);
  const { utf8, origin } = await readInput(args);
  const text = wellFormed(utf8, origin);
  const encoded = args.specialTokens
    ? tokenizer.encode(text.toString(), { specialTokens: true })
    : tokenizer.encodeUtf8(text, origin);
  const tokenIds = Array.from(encoded);
  if (args.json) printJson({ tokenIds, tokens: tokenIds.length });
  else printResult(tokenIds.join(' '));
}

export async function decode({
  tokenizer: path,
  specialTokens,
  json,
}: ArgumentsOf<typeof tokenizerDecodeUsage>): Promise<void> {
  const tokenizer = await readTokenizerFile(path);
  const { utf8 } = await readInput({});
  const text = tokenizer.decode(parseTokenIds(utf8.toString()), { specialTokens });
  if (json) printJson({ text });
  else printPart(text);
}

/** Encoded before the clock starts, so that the code is compiled; the words of the rest are not yet cached. */
const warmUpBytes = 2_000_000;

export async function stats(args: ArgumentsOf<typeof tokenizerStatsUsage>): Promise<void> {
  const tokenizer = await readTokenizerFile(args.tokenizer);
  reportIgnored(tokenizer);
  const { utf8, origin } = await readInput(args);
  wellFormed(utf8, origin);
  tokenizer.encodeChunk(
    utf8.subarray(0, warmUpBytes),
    { startsText: true, endsText: utf8.length <= warmUpBytes },
    origin,
  );
  const beganMs = performance.now();
  const tokens = tokenizer.encodeUtf8(utf8, origin).length;
  const elapsedMs = performance.now() - beganMs;
  const bytes = utf8.length;
  const bytesPerToken = tokens === 0 ? 0 : bytes / tokens;
  const megabytesPerSecond = bytes / 1000 / elapsedMs;
  if (args.json) return void printJson({ bytes, tokens, bytesPerToken, megabytesPerSecond });
  printResult(`${grouped(bytes)} bytes, ${grouped(tokens)} tokens, ${bytesPerToken.toFixed(3)} bytes per token`);
  printResult(`${megabytesPerSecond.toFixed(1)} MB/s`);
}
