/** `clm data check CONFIG`: what the corpus of a config holds, before anything is trained on it. */
import { loadConfig } from '../../../config/load.ts';
import { checkCorpus, type CorpusCheck, type ExampleWindow, type PartContent } from '../../../data/checkCorpus.ts';
import type { Packing } from '../../../data/files/corpus.ts';
import { openCorpus } from '../../../data/files/openCorpus.ts';
import { prepareTokenizer } from '../../../data/tokens/prepareTokenizer.ts';
import { supplyOptions } from '../../../data/windows/trainingSupply.ts';
import { grouped, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import { supplyLines } from '../../terminal/supplyText.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { dataCheckUsage } from './usage.ts';

export async function check({ config: path, set, examples, json }: ArgumentsOf<typeof dataCheckUsage>): Promise<void> {
  assertWhole('examples', examples, 0);
  const config = loadConfig(path, { set });
  const prepared = await prepareTokenizer(config.tokenizer, await openCorpus(config.corpus), config.corpus);
  const { corpus } = prepared;
  const { microBatchSize } = config.training;
  const result = await checkCorpus(corpus, prepared, { ...supplyOptions(config), microBatchSize, examples });
  if (json) printJson(result);
  else printCheck(result, corpus.files.length, config.corpus.packing);
}

function printCheck(result: CorpusCheck, files: number, packing: Packing): void {
  const row = (name: string, { documents, tokens, bytes }: PartContent): string =>
    `${name.padEnd(12)}${grouped(documents).padStart(14)}${grouped(tokens).padStart(18)}${grouped(bytes).padStart(18)}`;
  printResult(`${grouped(files)} file${files === 1 ? '' : 's'}, ${result.bytesPerToken.toFixed(3)} bytes a token`);
  printResult(`${''.padEnd(12)}${'documents'.padStart(14)}${'tokens'.padStart(18)}${'bytes'.padStart(18)}`);
  for (const [name, part] of [
    ['training', result.training],
    ['validation', result.validation],
    ['together', result],
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
  if (packing === 'documents') printResult(`mask: ${(result.maskBytes / 1e6).toFixed(1)} MB for a micro-batch`);
  const { overlap } = result;
  printResult(
    `duplicates: ${grouped(result.duplicates)} documents; empty documents left out: ${grouped(result.emptyDocuments)}`,
  );
  printResult(
    `validation that is also trained on: ${grouped(overlap.documents)} documents, ${grouped(overlap.lines)} of ${grouped(overlap.ofLines)} lines of 40 bytes or more`,
  );
  if (result.badBytes > 0) printResult(`bytes that are no UTF-8, mended: ${grouped(result.badBytes)}`);
  for (const example of result.examples) printExample(example);
  if (overlap.documents > 0)
    printWarning(
      `${grouped(overlap.documents)} validation documents are trained on: the validation loss will flatter the model`,
    );
}

const shownPlaces = 12;

/** The window's text, then its first places: the token, and the target that follows it. */
function printExample({ tokens, targets, learnt }: ExampleWindow): void {
  printResult(`\na training window of ${tokens.length} tokens: ${JSON.stringify(tokens.join(''))}`);
  printResult('  place  token → target');
  for (let place = 0; place < Math.min(shownPlaces, tokens.length); place++) {
    const note = learnt[place] ? '' : '   (no loss: prompt or padding)';
    printResult(
      `  ${String(place).padStart(5)}  ${JSON.stringify(tokens[place])} → ${JSON.stringify(targets[place])}${note}`,
    );
  }
}
