/** `clm evaluate`: computes loss, perplexity and bits per byte of a whole validation set, or of a text. */
import path from 'node:path';
import { parseResolvedConfig } from '../../../config/load.ts';
import { pathNotes, placedConfig } from '../../../config/paths/absolutePaths.ts';
import { withChatFormat } from '../../../data/chat/corpusChats.ts';
import type { Corpus } from '../../../data/files/corpus.ts';
import { changesOf } from '../../../data/manifest.ts';
import { openRunCorpus } from '../../../data/runCorpus.ts';
import { wrongInput } from '../../../errors.ts';
import { runPaths } from '../../../run/runPaths.ts';
import { evaluateCorpus, evaluateTokens, type TextEvaluation } from '../../../sampling/scoring/perplexity.ts';
import { hasCorpus } from '../../../huggingface/importedRun.ts';
import { loadModel, type LoadedModel } from '../../../sampling/loadModel.ts';
import { openTokenLosses } from '../../../sampling/scoring/tokenLosses.ts';
import type { Evaluation } from '../../../run/metrics.ts';
import { evaluatePreferences } from '../../../training/reference.ts';
import { readBounded } from '../../../storage/boundedFile.ts';
import { grouped, note, printFinal, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { reportLeftOut } from '../../terminal/supplyText.ts';
import { readInput, wellFormed, type Input } from '../../textInput.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { evaluateUsage } from './usage.ts';

export async function evaluate(args: ArgumentsOf<typeof evaluateUsage>): Promise<void> {
  const input = args.text === undefined && args.file === undefined ? undefined : await readInput(args);
  const { checkpoint, device, weights } = args;
  const model = await loadModel(args.run, { checkpoint, device, weights });
  try {
    const { config, tokenizer, session, table } = model;
    const { contextLength } = config.model;
    if (!Number.isSafeInteger(args.overlap) || args.overlap < 0 || args.overlap >= contextLength) {
      throw wrongInput(`--overlap must be a whole number from 0 to ${contextLength - 1}, less than the context length`);
    }
    if (input === undefined && !hasCorpus(config)) {
      throw wrongInput(
        `${args.run} was imported and has no validation set. Give a text with --file FILE or --text TEXT.`,
      );
    }
    if (input === undefined && config.training.objective.kind === 'dpo')
      return await printPreferences(model, await corpusOf(model, args.quiet), args);
    const tokenLosses = openTokenLosses(session, config.model, table, tokenizer.vocabularySize);
    const ofCorpus = async () => {
      const corpus = withChatFormat(await corpusOf(model, args.quiet), tokenizer.chat);
      const evaluated = await evaluateCorpus(tokenLosses, corpus, tokenizer, args.overlap);
      reportLeftOut(evaluated.leftOut, corpus, args.quiet);
      return evaluated;
    };
    const ofText = async ({ utf8, origin }: Input) => {
      const tokens = oneText(tokenizer.encodeUtf8(wellFormed(utf8, origin), origin));
      return { whole: await evaluateTokens(tokenLosses, tokens, tokenizer, args.overlap), sources: [] };
    };
    const { whole, sources } = input === undefined ? await ofCorpus() : await ofText(input);
    if (whole === null) throw wrongInput('The text has fewer than two tokens: there is nothing to evaluate.');
    if (args.json) {
      printJson(sources.length > 1 ? { ...whole, sources } : whole);
      return;
    }
    printResult(describe(whole));
    if (sources.length > 1) for (const each of sources) printResult(`${each.source}: ${describe(each)}`);
    const { loss, perplexity, bitsPerByte, tokens, bytes } = whole;
    printFinal({ loss, perplexity, bitsPerByte, tokens, bytes });
  } finally {
    model.close();
  }
}

/** The evaluation on the validation pairs of a run on preferences. */
async function printPreferences(
  model: LoadedModel,
  opened: Corpus,
  { json, overlap }: ArgumentsOf<typeof evaluateUsage>,
): Promise<void> {
  if (overlap > 0) throw wrongInput('--overlap has no effect on preference pairs, which are scored whole; remove it.');
  const corpus = withChatFormat(opened, model.tokenizer.chat);
  const runDirectory = path.join(model.directory, '../..');
  const { sources = {}, ...whole } = await evaluatePreferences(model, corpus, runDirectory);
  if (json) {
    const ofSources = Object.entries(sources).map(([source, evaluation]) => ({ source, ...evaluation }));
    printJson(ofSources.length > 1 ? { ...whole, sources: ofSources } : whole);
    return;
  }
  const lineOf = ({ loss, margin, accuracy, pairs, rewardChosen, rewardRejected }: Evaluation): string =>
    `loss ${loss.toFixed(4)}  margin ${margin!.toFixed(4)}  accuracy ${(100 * accuracy!).toFixed(1)} %` +
    `  rewards ${rewardChosen!.toFixed(4)} and ${rewardRejected!.toFixed(4)}  (${grouped(pairs!)} pairs)`;
  printResult(lineOf(whole));
  for (const [source, evaluation] of Object.entries(sources)) printResult(`${source}: ${lineOf(evaluation)}`);
  const { loss, margin, accuracy, rewardChosen, rewardRejected, pairs } = whole;
  printFinal({ loss, margin, accuracy, rewardChosen, rewardRejected, pairs });
}

/** The corpus of the run that the checkpoint belongs to; says where it is not where, or not what, it was. */
async function corpusOf({ directory }: LoadedModel, isQuiet: boolean): Promise<Corpus> {
  const file = path.join(directory, 'config.yaml');
  const text = readBounded(file).toString('utf8');
  const placed = placedConfig((choice) => parseResolvedConfig(text, file, choice));
  const manifest = runPaths(path.join(directory, '../..')).corpus;
  const { config, opened, manifests } = await openRunCorpus(placed, manifest);
  if (!isQuiet) pathNotes(placed, config).forEach((line) => note(line));
  const changes = manifests && changesOf(manifests.before, manifests.now);
  if (changes !== undefined) printWarning(`the corpus has changed since the run began: ${changes}`);
  return opened;
}

async function* oneText(tokenIds: Int32Array) {
  yield { tokenIds, lossMask: null };
}

const describe = ({ loss, perplexity, bitsPerByte, tokens, bytes }: TextEvaluation): string =>
  `loss ${loss.toFixed(4)}  perplexity ${perplexity.toFixed(2)}  bits per byte ${bitsPerByte.toFixed(3)}` +
  `  (${grouped(tokens)} tokens, ${grouped(bytes)} bytes)`;
