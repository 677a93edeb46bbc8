/** `clm evaluate`: loss, perplexity and bits per byte over a whole validation set, or over a text. */
import type { CommandModule } from 'yargs';
import { openCorpus } from '../../../data/files/openCorpus.ts';
import { wrongInput } from '../../../errors.ts';
import { evaluateCorpus, evaluateTokens, type TextEvaluation } from '../../../sampling/scoring/perplexity.ts';
import { hasCorpus } from '../../../huggingface/importModel.ts';
import { loadModel } from '../../../sampling/loadModel.ts';
import { openTokenLosses } from '../../../sampling/scoring/tokenLosses.ts';
import { grouped, printJson, printResult } from '../../terminal/output.ts';
import { applyVerbose, deviceOption, jsonOption, quietOption } from '../../options.ts';
import { inputOptions, readInput, wellFormed, type InputArguments } from '../../textInput.ts';

interface EvaluateArguments extends InputArguments {
  run: string;
  overlap: number;
  checkpoint: string;
  device?: 'auto' | 'cpu' | 'cuda';
  json: boolean;
  verbose: boolean;
}

export const evaluateCommand: CommandModule<object, EvaluateArguments> = {
  command: 'evaluate <run>',
  describe: 'Score a whole validation set, or a text: loss, perplexity, bits per byte',
  builder: (parser) =>
    parser
      .positional('run', { type: 'string', demandOption: true, describe: 'Run directory or checkpoint folder' })
      .options(inputOptions)
      .option('overlap', {
        type: 'number',
        default: 0,
        describe: 'Tokens a window shares with the one before, only looked back on',
      })
      .option('checkpoint', { type: 'string', default: 'last', describe: 'last, best, or the step of a checkpoint' })
      .options({ ...jsonOption, ...deviceOption, ...quietOption })
      .example('clm evaluate runs/moby-dick', 'The run’s own validation set, where no text is given')
      .example(
        'clm evaluate runs/moby-dick --file other.txt --overlap 32 --json',
        'Another text, each token with 32 or more before it',
      ) as never,
  handler: async (args) => {
    applyVerbose(args.verbose);
    const input = args.text === undefined && args.file === undefined ? undefined : await readInput(args);
    const model = await loadModel(args.run, { checkpoint: args.checkpoint, device: args.device });
    try {
      const { config, tokenizer, session, table } = model;
      const { contextLength } = config.model;
      if (!Number.isSafeInteger(args.overlap) || args.overlap < 0 || args.overlap >= contextLength) {
        throw wrongInput(
          `--overlap must be a whole number from 0 to ${contextLength - 1}, less than the context length`,
        );
      }
      if (input === undefined && !hasCorpus(config)) {
        throw wrongInput(
          `${args.run} was imported and has no validation text of its own. Name one: --file FILE, or --text TEXT.`,
        );
      }
      const tokenLosses = openTokenLosses(session, config.model, table, tokenizer.vocabularySize);
      const { whole, sources } =
        input === undefined
          ? await evaluateCorpus(tokenLosses, await openCorpus(config.corpus), tokenizer, args.overlap)
          : {
              whole: await evaluateTokens(
                tokenLosses,
                oneText(tokenizer.encodeUtf8(wellFormed(input.utf8, input.origin), input.origin)),
                tokenizer,
                args.overlap,
              ),
              sources: [],
            };
      if (whole === null) throw wrongInput('The text has less than two tokens: there is nothing to score.');
      if (args.json) {
        printJson(sources.length > 1 ? { ...whole, sources } : whole);
        return;
      }
      printResult(describe(whole));
      if (sources.length > 1) for (const each of sources) printResult(`${each.source}: ${describe(each)}`);
    } finally {
      model.close();
    }
  },
};

async function* oneText(tokenIds: Int32Array) {
  yield { tokenIds, lossMask: null };
}

const describe = ({ loss, perplexity, bitsPerByte, tokens, bytes }: TextEvaluation): string =>
  `loss ${loss.toFixed(4)}  perplexity ${perplexity.toFixed(2)}  bits per byte ${bitsPerByte.toFixed(3)}  (${grouped(tokens)} tokens, ${grouped(bytes)} bytes)`;
