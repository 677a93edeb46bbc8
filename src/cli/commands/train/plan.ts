/** `clm plan`: the size and cost of a run before it starts, whether it fits this machine, and how to make it fit. */
import { loadConfig } from '../../../config/load.ts';
import type { Config } from '../../../config/schema.ts';
import { refuseUnscoredValidation } from '../../../data/validationPart.ts';
import { howToFit, refuseTooLarge, type RunPlan } from '../../../training/plan/plan.ts';
import { planWarnings } from '../../../training/plan/planWarnings.ts';
import { preparePlan, type PreparedPlan } from '../../../training/plan/preparePlan.ts';
import { duration, grouped, note, printJson, printResult, printWarning } from '../../terminal/output.ts';
import { leftOutLines, reportIgnored, supplyLines, suspicionText } from '../../terminal/supplyText.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { planUsage } from './usage.ts';

/** Steps of a measurement, after warm-up. */
const measuredSteps = 3;

export async function plan(args: ArgumentsOf<typeof planUsage>): Promise<void> {
  const set = [...args.set, ...(args.device ? [`device=${args.device}`] : [])];
  const prepared = await preparePlan(loadConfig(args.config, { set, onReplaced: args.quiet ? undefined : note }));
  const { config, plan, tokenizer, trainingTokens } = prepared;
  await refuseUnscoredValidation(prepared.corpus, tokenizer, prepared.validationTokens);
  for (const warning of planWarnings(config, plan.steps)) printWarning(warning);
  if (args.measure) refuseTooLarge(plan);
  if (args.measure && !args.quiet) note(`measuring ${measuredSteps} steps`);
  const measured = args.measure ? await measureSteps(prepared) : null;
  const expectedMs = measured && measured.msPerStep * plan.steps;
  reportIgnored(tokenizer, args.quiet);
  const suspicion = suspicionText(prepared.leftOut);
  if (suspicion !== undefined) printWarning(suspicion);
  if (args.json) {
    printJson({
      ...plan,
      vocabularySize: tokenizer.vocabularySize,
      trainingTokens,
      ...(measured && { ...measured, expectedMs }),
    });
    return;
  }
  for (const line of planLines(plan, config)) printResult(line);
  for (const line of leftOutLines(prepared.leftOut, prepared.corpus)) printResult(line);
  if (measured) {
    const speed = `${measured.msPerStep.toFixed(1)} ms per step, ${grouped(measured.tokensPerSecond)} tokens/s`;
    printResult(`time         ${duration(expectedMs!)} (${speed}), without evaluations`);
  }
}

/** The only part that loads TensorFlow. */
async function measureSteps(prepared: PreparedPlan): Promise<{ msPerStep: number; tokensPerSecond: number }> {
  const { benchmark } = await import('../../../checks/benchmark.ts');
  const { msPerStep, tokensPerSecond } = await benchmark(prepared, { steps: measuredSteps, mode: 'recorded' });
  return { msPerStep, tokensPerSecond };
}

function planLines(plan: RunPlan, { corpus, training }: Config): string[] {
  const { parametersByPart, bytes, machineBytes } = plan;
  const megabytes = (count: number): string => `${grouped(count / 1e6)} MB`;
  const parts = Object.entries(parametersByPart).filter(([, count]) => count > 0);
  const { total, ...purposes } = bytes;
  const used = Object.entries(purposes).filter(([, count]) => count > 0);
  const memory = used.map(([purpose, count]) => `${purpose} ${megabytes(count)}`);
  const { microBatchesPerStep } = training;
  const microBatches = `${microBatchesPerStep} micro-batch${microBatchesPerStep === 1 ? '' : 'es'}`;
  const gflop = ((plan.flopsPerToken * plan.tokensPerStep) / 1e9).toFixed(1);
  const flops = `${gflop} GFLOP (${grouped(plan.flopsPerToken)} FLOPs per token)`;
  return [
    `parameters   ${grouped(plan.parameters)}: ${parts.map(([part, count]) => `${part} ${grouped(count)}`).join(', ')}`,
    `step         ${grouped(plan.tokensPerStep)} tokens in ${microBatches}, ${flops}`,
    `run          ${grouped(plan.steps)} steps, ${grouped(plan.tokens)} tokens, ${plan.epochs.toFixed(2)} epochs`,
    ...supplyLines(plan, corpus.packing).map((line) => `windows      ${line}`),
    `memory       ${megabytes(total)} at the peak: ${memory.join(', ')}`,
    `sampling     ${megabytes(plan.keyValueCacheBytes)} of key-value cache for a full context`,
    plan.fits
      ? `fits         yes, this machine has ${megabytes(machineBytes)}`
      : `fits         no, this machine has ${megabytes(machineBytes)}. ${howToFit(plan)}`,
  ];
}
