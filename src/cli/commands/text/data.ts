/** `clm data check CONFIG`: what the corpus of a config contains, before anything is trained on it. */
import { loadConfig } from '../../../config/load.ts';
import { checkCorpus, type CorpusCheck, type ExampleWindow, type PartContent } from '../../../data/checkCorpus.ts';
import type { Corpus, Packing } from '../../../data/files/corpus.ts';
import { openCorpus } from '../../../data/files/openCorpus.ts';
import { refuseUnscoredValidation } from '../../../data/validationPart.ts';
import { prepareTokenizer } from '../../../data/tokens/prepareTokenizer.ts';
import { supplyOptions } from '../../../data/windows/trainingSupply.ts';
import { grouped, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import { leftOutLines, supplyLines, suspicionText } from '../../terminal/supplyText.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { dataCheckUsage } from './usage.ts';

export async function check({ config: path, set, examples, json }: ArgumentsOf<typeof dataCheckUsage>): Promise<void> {
  assertWhole('examples', examples, 0);
  const config = loadConfig(path, { set });
  const prepared = await prepareTokenizer(config.tokenizer, await openCorpus(config.corpus), config.corpus);
  const { corpus } = prepared;
  const { microBatchSize } = config.training;
  const result = await checkCorpus(corpus, prepared, { ...supplyOptions(config), microBatchSize, examples });
  const suspicion = suspicionText(result);
  if (suspicion !== undefined) printWarning(suspicion);
  if (json) printJson(result);
  else printCheck(result, corpus, config.corpus.packing);
  await refuseUnscoredValidation(corpus, prepared.tokenizer, prepared.validationTokens); // as training would
}

function printCheck(result: CorpusCheck, corpus: Corpus, packing: Packing): void {
  const files = corpus.files.length;
  const row = (name: string, { documents, tokens, bytes }: PartContent): string =>
    `${name.padEnd(12)}${grouped(documents).padStart(14)}${grouped(tokens).padStart(18)}${grouped(bytes).padStart(18)}`;
  printResult(`${grouped(files)} file${files === 1 ? '' : 's'}, ${result.bytesPerToken.toFixed(3)} bytes per token`);
  printResult(`${''.padEnd(12)}${'documents'.padStart(14)}${'tokens'.padStart(18)}${'bytes'.padStart(18)}`);
  for (const [name, part] of [
    ['training', result.training],
    ['validation', result.validation],
    ['total', result],
  ] as const) {
    printResult(row(name, part));
  }
  for (const [name, { training, validation }] of Object.entries(result.sources ?? {})) {
    printResult(
      row(name, {
        documents: training.documents + validation.documents,
        tokens: training.tokens + validation.tokens,
        bytes: training.bytes + validation.bytes,
      }),
    );
  }
  for (const line of supplyLines(result, packing)) printResult(`windows: ${line}`);
  if (packing === 'documents') printResult(`attention mask: ${(result.maskBytes / 1e6).toFixed(1)} MB per micro-batch`);
  const { overlap } = result;
  const { duplicates, emptyDocuments, badBytes } = result;
  printResult(`duplicate documents: ${grouped(duplicates)}; empty documents left out: ${grouped(emptyDocuments)}`);
  const lines = `${grouped(overlap.lines)} of ${grouped(overlap.ofLines)} lines of 40 bytes or more`;
  printResult(`validation text that is also in the training text: ${grouped(overlap.documents)} documents, ${lines}`);
  if (badBytes > 0) printResult(`invalid UTF-8 bytes, replaced or skipped: ${grouped(badBytes)}`);
  // Empty documents and bad bytes have lines above.
  for (const line of leftOutLines({ ...result, emptyDocuments: 0, badBytes: 0 }, corpus)) printResult(line);
  for (const example of result.examples) printExample(example);
  if (overlap.documents > 0)
    printWarning(`${grouped(overlap.documents)} validation documents are also trained on: their loss is too low`);
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
