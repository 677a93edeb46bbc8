/** `clm data check CONFIG`: what the corpus of a config contains, before anything is trained on it. */
import { loadConfig } from '../../../config/load.ts';
import type { Config } from '../../../config/schema.ts';
import {
  checkCorpus,
  type CorpusCheck,
  type ExampleWindow,
  type PartContent,
} from '../../../data/check/checkCorpus.ts';
import type { LearntExample } from '../../../data/check/learntExample.ts';
import type { Corpus, Packing } from '../../../data/files/corpus.ts';
import { refuseUnscoredValidation } from '../../../data/validationPart.ts';
import type { PreparedTokenizer } from '../../../data/tokens/prepareTokenizer.ts';
import { supplyOptions } from '../../../data/windows/trainingSupply.ts';
import { prepareText } from '../../../training/plan/preparePlan.ts';
import { bytesText } from '../../../units.ts';
import { learntLegend, learntText } from '../../terminal/learntText.ts';
import { showWaiting } from '../../terminal/liveLine.ts';
import { grouped, note, printJson, printPainted, printResult, printWarning } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import { leftOutLines, reportIgnored, supplyLines, suspicionText } from '../../terminal/supplyText.ts';
import { placeText, repetitionLines, repetitionWarnings } from './repetitionLines.ts';
import { hanging, renderTable, type Column } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { dataCheckUsage } from './usage.ts';

export async function check({ config: path, set, examples, json }: ArgumentsOf<typeof dataCheckUsage>): Promise<void> {
  assertWhole('examples', examples, 0);
  const config = loadConfig(path, { set, onReplaced: note });
  const clearWaiting = showWaiting('reading the corpus');
  const { prepared, result } = await checked(config, examples).finally(clearWaiting);
  const { corpus } = prepared;
  reportIgnored(prepared.tokenizer);
  const suspicion = suspicionText(result);
  if (suspicion !== undefined) printWarning(suspicion);
  if (json) printJson(result);
  else printCheck(result, corpus, { ...config.corpus, ...config.model });
  for (const warning of repetitionWarnings(result)) printWarning(warning);
  await refuseUnscoredValidation(corpus, prepared.tokenizer, prepared.validationTokens); // as training would
}

async function checked(
  config: Config,
  examples: number,
): Promise<{ prepared: PreparedTokenizer; result: CorpusCheck }> {
  const prepared = await prepareText(config);
  const { microBatchSize } = config.training;
  const options = { ...supplyOptions(config), microBatchSize, examples };
  return { prepared, result: await checkCorpus(prepared.corpus, prepared, options) };
}

function printCheck(result: CorpusCheck, corpus: Corpus, { packing, contextLength }: WindowSettings): void {
  const files = corpus.files.length;
  const hasDocuments = corpus.separatesDocuments === true;
  // Validation files of their own belong to all sources: their rows then show what is trained on.
  const isValidationShared = corpus.validation.parts === undefined;
  const sources = Object.entries(result.sources ?? {}).map(
    ([name, { training, validation }]) => [name, isValidationShared ? training : sumOf(training, validation)] as const,
  );
  const { training, validation } = result;
  const parts = [['training', training], ['validation', validation], ['total', result], ...sources] as const;
  const count = (title: string, key: keyof PartContent): Column<(typeof parts)[number]> => ({
    title,
    align: 'right',
    text: ([, part]) => grouped(part[key]),
  });
  const say = (text: string): void => hanging(text, 2).forEach((line) => printResult(line));
  say(
    `${grouped(files)} file${files === 1 ? '' : 's'}, ${result.bytesPerToken.toFixed(3)} bytes per token, ` +
      `a vocabulary of ${grouped(result.vocabularySize)} tokens`,
  );
  const table = renderTable(parts, [
    { title: '', text: ([name]) => name },
    count(hasDocuments ? 'documents' : 'files', 'documents'),
    count('tokens', 'tokens'),
    count('bytes', 'bytes'),
  ]);
  for (const line of table) printResult(line);
  if (result.validationStart !== null) say(`the validation part begins at ${placeText(result.validationStart)}`);
  for (const line of supplyLines(result, corpus.packing)) say(`windows: ${line}`);
  const { windowsPerEpoch, leftoverTokens } = result;
  const isSum = windowsPerEpoch * contextLength + 1 + leftoverTokens === result.training.tokens;
  if (isSum)
    say(
      `training tokens: 1 before the first target + ${grouped(windowsPerEpoch)} windows × ${contextLength} + ` +
        `${grouped(leftoverTokens)} left over = ${grouped(result.training.tokens)}`,
    );
  if (packing === 'documents') say(`attention mask: ${bytesText(result.maskBytes)} per micro-batch`);
  for (const line of repetitionLines(result, hasDocuments)) say(line);
  if (result.badBytes > 0) say(`invalid UTF-8 bytes, replaced or skipped: ${grouped(result.badBytes)}`);
  // Empty documents and bad bytes have lines above.
  for (const line of leftOutLines({ ...result, emptyDocuments: 0, badBytes: 0 }, corpus)) say(line);
  const kinds = result.rejectedExample ? ['chosen', 'rejected'] : ['example'];
  for (const [i, example] of [result.learntExample, result.rejectedExample].entries())
    if (example) printLearnt(kinds[i]!, example);
  for (const example of result.examples) printExample(example);
}

interface WindowSettings {
  packing: Packing;
  contextLength: number;
}

const sumOf = (a: PartContent, b: PartContent): PartContent => ({
  documents: a.documents + b.documents,
  tokens: a.tokens + b.tokens,
  bytes: a.bytes + b.bytes,
});

/** A chat or pair as text, with what the model learns of it in colour or between marks. */
function printLearnt(kind: string, { place, tokens, learntTokens, parts }: LearntExample): void {
  const count = `${grouped(learntTokens)} of ${grouped(tokens)} tokens count towards the loss, shown ${learntLegend()}`;
  printResult('');
  for (const line of hanging(`${kind}, ${placeText(place)}: ${count}`, 2)) printResult(line);
  printPainted(learntText(parts));
}

const shownPositions = 12;

/** The text of a token window, and at its first positions the token and its target, the next token. */
function printExample({ tokens, targets, learnt }: ExampleWindow): void {
  printResult(`\ntraining window of ${tokens.length} tokens: ${JSON.stringify(tokens.join(''))}`);
  printResult('  position  token → target');
  for (let t = 0; t < Math.min(shownPositions, tokens.length); t++) {
    const note = learnt[t] ? '' : '   (no loss: prompt or padding)';
    printResult(`  ${String(t).padStart(8)}  ${JSON.stringify(tokens[t])} → ${JSON.stringify(targets[t])}${note}`);
  }
}
