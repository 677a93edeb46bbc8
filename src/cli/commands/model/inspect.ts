/** `clm inspect`: shows what a trained or untrained model does with a text, token by token. */
import { statSync } from 'node:fs';
import { isGgufFile } from '../../../storage/importable.ts';
import { writeOutputFile } from '../../../storage/outputFile.ts';
import { loadConfig } from '../../../config/load.ts';
import type { LossOn } from '../../../data/chat/chatText.ts';
import { encodedChat, type EncodedChat } from '../../../data/chat/encodedChat.ts';
import { openCorpus } from '../../../data/files/openCorpus.ts';
import { prepareTokenizer } from '../../../data/tokens/prepareTokenizer.ts';
import { wrongInput } from '../../../errors.ts';
import { initialParameters, parameterTable } from '../../../model/parameters.ts';
import { openSession } from '../../../runtime/openSession.ts';
import { inspectTokens } from '../../../sampling/scoring/inspection.ts';
import { loadModel, type LoadedModel } from '../../../sampling/loadModel.ts';
import { inspectionPage } from './inspectionPage.ts';
import { inspectionText, positionText } from './inspectionText.ts';
import { note, printJson, printPainted } from '../../terminal/output.ts';
import { assertWhole } from '../../options.ts';
import { readInput, wellFormed } from '../../textInput.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { inspectUsage } from './usage.ts';

export async function inspect(args: ArgumentsOf<typeof inspectUsage>): Promise<void> {
  assertWhole('top', args.top, 1);
  const { messages, lossOn } = args;
  if (messages !== undefined && (args.text ?? args.file) !== undefined)
    throw wrongInput('Give --messages, --text or --file, not several of them.');
  if (messages === undefined && lossOn !== undefined) throw wrongInput('--loss-on goes with --messages only.');
  const input = await readInput(messages === undefined ? args : { file: messages === '-' ? undefined : messages });
  const given = wellFormed(input.utf8, input.origin).toString('utf8');
  const loaded = isConfig(args.model)
    ? await untrained(args)
    : await loadModel(args.model, { checkpoint: args.checkpoint, device: args.device });
  try {
    const { config, session, table, tokenizer, step } = loaded;
    const { text, tokenIds, lossMask } =
      messages === undefined
        ? { text: given, tokenIds: [...tokenizer.encode(given)], lossMask: undefined }
        : chatOf(given, messages, loaded, lossOn);
    const inspected = { session, model: config.model, table, tokenizer };
    const inspection = await inspectTokens(inspected, tokenIds, args.top, lossMask);
    const { position } = args;
    const last = inspection.tokenIds.length - 1;
    if (position !== undefined && !(Number.isInteger(position) && position >= 0 && position <= last)) {
      throw wrongInput(`--position must be a whole number from 0 to ${last}: the text has ${last + 1} tokens`);
    }
    if (args.html !== undefined) {
      await writeOutputFile(args.html, inspectionPage(inspection, { text, name: config.name, step }));
      if (!args.quiet) note(`wrote ${args.html}`);
    }
    if (args.json) {
      const { alternatives, ...rest } = inspection;
      printJson(position === undefined ? rest : { ...rest, position, alternatives: alternatives[position] });
      return;
    }
    printPainted(inspectionText(inspection));
    if (position !== undefined) printPainted(positionText(inspection, position));
  } finally {
    loaded.close();
  }
}

/** The chat as the run trains on it; `lossOn` replaces that of its first source of chats. */
function chatOf(
  json: string,
  messages: string,
  { tokenizer, config: { corpus } }: Pick<LoadedModel, 'tokenizer' | 'config'>,
  lossOn: LossOn | undefined,
): EncodedChat {
  return encodedChat(json, tokenizer, {
    path: messages === '-' ? 'stdin' : messages,
    chatDate: corpus.chatDate,
    lossOn: lossOn ?? corpus.sources.find((source) => source.messages !== null)?.lossOn ?? 'assistant',
    remedy: 'Give --loss-on last or --loss-on all',
  });
}

function isConfig(model: string): boolean {
  return statSync(model, { throwIfNoEntry: false })?.isFile() === true && !isGgufFile(model);
}

/** What training would start from: the tokenizer of the config's corpus, and initial parameters from its seed. */
async function untrained(
  args: ArgumentsOf<typeof inspectUsage>,
): Promise<Omit<LoadedModel, 'modelSha256' | 'weights' | 'directory' | 'verified'>> {
  const config = loadConfig(args.model);
  const { tokenizer } = await prepareTokenizer(config.tokenizer, await openCorpus(config.corpus), config.corpus);
  const table = parameterTable(config.model, tokenizer.vocabularySize);
  const session = openSession({
    mode: 'recorded',
    precision: config.training.precision,
    device: args.device ?? config.device,
  });
  await session.addVariables(initialParameters(table, config.seed));
  return { config, tokenizer, step: 0, session, table, close: () => session.close() };
}
