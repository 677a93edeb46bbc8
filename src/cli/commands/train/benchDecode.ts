/** `clm bench RUN --decode`: how fast a trained model generates tokens, and where the time of a token goes. */
import { bytesOfDecoding, decodeBenchmark } from '../../../checks/decodeBenchmark.ts';
import { environmentFailure, wrongInput } from '../../../errors.ts';
import { loadModel } from '../../../sampling/loadModel.ts';
import { availableBytes } from '../../../training/plan/memory.ts';
import { bytesText } from '../../../units.ts';
import { assertWhole } from '../../options.ts';
import { grouped, note, printFinal, printJson, printResult } from '../../terminal/output.ts';
import { renderTable } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { benchUsage } from './usage.ts';

type Benchmark = Awaited<ReturnType<typeof decodeBenchmark>>;

const [defaultTokens, defaultPromptTokens] = [128, 512];

export async function benchDecode(args: ArgumentsOf<typeof benchUsage>): Promise<void> {
  const { steps: tokens = defaultTokens, batch = 1, weights = 'float32', checkpoint = 'last', device } = args;
  assertWhole('steps', tokens, 1);
  assertWhole('batch', batch, 1);
  if (args.eager || args.profile || args.set.length > 0)
    throw wrongInput('--eager, --profile and --set are for the training of a config; leave them out with --decode');
  const model = await loadModel(args.config, { checkpoint, device, precision: 'float32', weights });
  try {
    const { contextLength } = model.config.model;
    const half = Math.max(1, Math.floor(contextLength / 2));
    const { promptTokens = Math.min(defaultPromptTokens, half) } = args;
    assertWhole('prompt-tokens', promptTokens, 1);
    if (promptTokens > contextLength - 2)
      throw wrongInput(
        `--prompt-tokens ${promptTokens} leaves no room for a completion: the context length is ${contextLength}` +
          (contextLength > 2 ? `, so it may be ${contextLength - 2} at most` : ''),
      );
    const neededBytes = bytesOfDecoding(model, { batch, promptTokens, tokens });
    const machineBytes = availableBytes();
    if (neededBytes > machineBytes)
      throw environmentFailure(
        `--batch ${batch} needs ${bytesText(neededBytes)} of memory for weights, keys and values, and there are ` +
          `${bytesText(machineBytes)}. Choose a smaller --batch.`,
      );
    const result = await decodeBenchmark(model, { batch, promptTokens, tokens });
    if (args.json) printJson(result);
    else print(result, args.quiet);
  } finally {
    model.close();
  }
}

function print(result: Benchmark, isQuiet: boolean | undefined): void {
  const { batch, weights, device, promptTokens, tokens, tokensPerSecond, bound, share, msPerStep } = result;
  const { prefillTokensPerSecond, prefillGflops, matmulGflops, readGigabytesPerSecond } = result;
  const prompts = batch === 1 ? 'one prompt' : `${batch} prompts`;
  if (!isQuiet)
    note(`${prompts} of ${promptTokens} tokens, weights ${weights}, ${device}; ${grouped(tokens)} tokens generated`);
  const speed = (value: number): string => (value < 100 ? value.toFixed(1) : grouped(value));
  printResult(`${speed(tokensPerSecond)} tokens/s, ${percent(share)} of the bound by memory (${speed(bound)})`);
  printResult(
    `a step reads ${bytesText(result.weightBytes)} of weights, ${bytesText(result.cacheBytes)} of keys and values; ` +
      `this machine reads ${readGigabytesPerSecond.toFixed(1)} GB/s`,
  );
  printResult(
    `prefill ${grouped(prefillTokensPerSecond)} tokens/s: ${prefillGflops.toFixed(0)} GFLOP/s, ` +
      `${percent(prefillGflops / matmulGflops)} of the matmul peak (${matmulGflops.toFixed(0)} GFLOP/s)`,
  );
  const isShown = ({ share }: { share: number }): boolean => share >= 0.001;
  const others = result.operations.filter((each) => !isShown(each));
  const sum = (field: 'count' | 'ms'): number => others.reduce((total, each) => total + each[field], 0);
  const rows = [
    ...result.operations.filter(isShown).map(({ operation, count, ms }) => ({ part: operation, count, ms })),
    { part: 'other operations', count: sum('count'), ms: sum('ms') },
    { part: 'between operations', count: null, ms: result.betweenOperationsMs },
    { part: 'choosing tokens', count: null, ms: result.choosingMs },
    { part: 'all', count: null, ms: msPerStep },
  ];
  const lines = renderTable(rows, [
    { title: 'part', text: ({ part }) => part },
    { title: 'per step', align: 'right', text: ({ count }) => (count === null ? '' : String(Math.round(count))) },
    { title: 'ms', align: 'right', text: ({ ms }) => ms.toFixed(3) },
    { title: 'share', align: 'right', text: ({ ms }) => percent(ms / msPerStep, 1) },
  ]);
  for (const line of lines) printResult(line);
  printFinal({ tokensPerSecond, bound, share, prefillTokensPerSecond, msPerStep });
}

const percent = (share: number, digits = 0): string => `${(100 * share).toFixed(digits)} %`;
