/** `clm init`: asks for a text and a training time, measures this machine, and writes a commented config for them. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../../../config/load.ts';
import { openCorpus } from '../../../../data/files/openCorpus.ts';
import { withoutSpecialTokens } from '../../../../data/tokens/prepareTokenizer.ts';
import { trainTokenizer } from '../../../../data/tokens/trainTokenizer.ts';
import { ExpectedError, wrongInput } from '../../../../errors.ts';
import * as choices from '../../../../experiments/startingChoices.ts';
import { renderStartingConfig, type StartingConfig } from '../../../../experiments/startingConfig.ts';
import { shellPath } from '../../../../shellWord.ts';
import { writeOutputFile } from '../../../../storage/outputFile.ts';
import { temporaryFolder } from '../../../../storage/temporaryPaths.ts';
import { prepareTraining } from '../../../../training/prepare.ts';
import { bytesText, timeText } from '../../../../units.ts';
import { showWaiting } from '../../../terminal/liveLine.ts';
import { grouped, note, printJson, printWarning } from '../../../terminal/output.ts';
import type { ArgumentsOf } from '../../../usage.ts';
import type { initUsage } from '../usage.ts';
import { answers, type Answers } from './answers.ts';
import { msPerStep } from './measure.ts';

export async function init(args: ArgumentsOf<typeof initUsage>): Promise<void> {
  const say = args.quiet ? () => {} : note;
  const answered = await answers(args, say);
  const { path: scratch, remove } = temporaryFolder('clm-init-');
  try {
    await writeConfig(answered, args, scratch, say);
  } finally {
    remove();
  }
}

/** A text of fewer bytes may have fewer pairs than its vocabulary wants. */
const fewBytes = 5e6;
/** Fewer tokens are learnt by heart even by the smallest model. */
const smallText = 50_000;

async function writeConfig(
  { text, minutes, output, name }: Answers,
  args: ArgumentsOf<typeof initUsage>,
  scratch: string,
  say: (line: string) => void,
): Promise<void> {
  const { survey, chosen, hasDocuments } = text;
  const facts = { ...survey };
  const size = chosen.files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (!survey.isWhole) {
    const scale = Math.max(1, size / survey.bytes);
    for (const key of ['bytes', 'characters', 'documents'] as const) facts[key] = Math.round(facts[key] * scale);
  }
  const count = hasDocuments ? `, ${grouped(facts.documents)} documents` : '';
  say(`${bytesText(facts.bytes)} of text${count}, ${grouped(survey.distinctCharacters)} different characters`);
  const tokenizer = choices.tokenizerFor(facts, args.tokenizer);
  const tokens = choices.tokenCount(facts, tokenizer);
  choices.withinText(choices.modelSizes[0]!, tokens); // refuses too little text before anything is measured
  if (tokens < smallText)
    printWarning(
      `${bytesText(facts.bytes)} is a small text, which a model learns by heart: the validation loss will soon rise. ` +
        'With 1 MB (a book) it learns the language.',
    );

  const measure = async (each: choices.ModelSize): Promise<number> => {
    const clear = args.quiet ? () => {} : showWaiting('measuring the training speed');
    return msPerStep(scratch, each, tokenizer).finally(clear);
  };
  const trial = choices.modelSizes[1]!;
  const trialMs = await measure(trial);
  const { vocabularySize } = tokenizer;
  const flopsPerSecond = choices.stepFlops(trial, vocabularySize) / (trialMs / 1000);
  const model = choices.sizeFor(minutes, flopsPerSecond, vocabularySize, tokens);
  const stepMs = model === trial ? trialMs : await measure(model);
  const length = choices.lengthFor(minutes, stepMs, model, tokens);

  const { field, messages, documents, emptyRows } = text.source;
  const starting = (folder: string, validation: StartingConfig['validation']): StartingConfig => ({
    ...{ name, minutes, size: model, tokenizer, validation, ...length },
    paths: [path.relative(folder, path.resolve(chosen.pattern)).replaceAll(path.sep, '/')],
    sourceKeys: {
      ...(field && { field: JSON.stringify(field) }),
      ...(messages && { messages: JSON.stringify(messages) }),
      ...(documents && { documents }),
      ...(emptyRows && { emptyRows }),
    },
    encodingErrors: text.encodingErrors,
    prompt: firstWords(survey.excerpt),
    schema: path
      .relative(folder, fileURLToPath(new URL('../../../../../schema/config.schema.json', import.meta.url)))
      .replaceAll(path.sep, '/'),
  });
  const clear = args.quiet ? () => {} : showWaiting('checking the config on the whole text');
  const validation = await workingSplit(
    scratch,
    choices.validationFor(facts, hasDocuments),
    (split) => starting(scratch, split),
    facts.bytes < fewBytes,
  ).finally(clear);
  await writeOutputFile(output, renderStartingConfig(starting(path.dirname(path.resolve(output)), validation)));
  if (args.json) {
    const made = { config: path.resolve(output), ...model, steps: length.steps, msPerStep: stepMs };
    printJson({
      ...made,
      name,
      tokenizer: tokenizer.kind,
      vocabularySize: tokenizer.vocabularySize,
      bytes: facts.bytes,
    });
  }
  const ms = stepMs * length.steps;
  const limit = length.isOfText ? `; more would only learn the text by heart` : '';
  say(`wrote ${output}:`);
  say(`  tokenizer  ${tokenizer.kind}: ${tokenizer.why}`);
  say(`  model      ${model.layers} layers of width ${model.width}, a context of ${model.contextLength} tokens`);
  say(`  training   ${grouped(length.steps)} steps of ${stepMs.toFixed(1)} ms, about ${timeText(ms)}${limit}`);
  say(`to train: clm train ${shellPath(output)}`);
  if (messages) say(`then, to talk with the model: clm chat ${shellPath(path.join('runs', name))}`);
}

/**
 * Prepares a run of the config as `clm train` does. A split by hash that leaves a part without text gives way to one at
 * the end, and a vocabulary that the text is too short for to the one that it has.
 */
async function workingSplit(
  scratch: string,
  split: StartingConfig['validation'],
  starting: (split: StartingConfig['validation']) => StartingConfig,
  mayLackPairs: boolean,
): Promise<StartingConfig['validation']> {
  const file = path.join(scratch, 'config.yaml');
  const prepared = async (validation: StartingConfig['validation']): Promise<void> => {
    const config = starting(validation);
    writeFileSync(file, renderStartingConfig(config));
    if (config.tokenizer.kind === 'bpe' && mayLackPairs) await fitVocabulary(file, config);
    writeFileSync(file, renderStartingConfig(config));
    const asked = { configPath: file, set: [] };
    await prepareTraining({ config: loadConfig(file), runDirectory: path.join(scratch, 'run'), resume: false, asked });
  };
  try {
    await prepared(split);
    return split;
  } catch (error) {
    if (!(error instanceof ExpectedError) || split.key === 'tail') throw error;
    const tail = { key: 'tail' as const, share: 0.1 };
    await prepared(tail);
    return tail;
  }
}

/** Sets the vocabulary to what the training text has pairs for, if that is less. */
async function fitVocabulary(file: string, { tokenizer }: StartingConfig): Promise<void> {
  const corpus = withoutSpecialTokens({}, await openCorpus(loadConfig(file).corpus));
  const { vocabularySize } = (await trainTokenizer(corpus, corpus.training, tokenizer.vocabularySize)).tokenizer;
  tokenizer.vocabularySize = Math.min(tokenizer.vocabularySize, vocabularySize);
  if (tokenizer.vocabularySize < 258) throw wrongInput('The text is too short for --tokenizer bpe; use bytes.');
}

/** The first words of the text, as a prompt that its tokenizer knows. */
function firstWords(excerpt: Buffer): string {
  const line = excerpt
    .subarray(0, 4000)
    .toString('utf8')
    .replace(/\uFFFD$/, '')
    .split('\n')
    .find((each) => each.trim() !== '');
  const words = (line ?? '\n').trim().match(/^(?:\S+\s){0,2}\S+/)?.[0] ?? '\n';
  return [...words].slice(0, 24).join('');
}
