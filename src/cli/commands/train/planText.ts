/** What `clm plan` prints, in units that a person reads. */
import type { PreparedPlan } from '../../../training/plan/preparePlan.ts';
import { howToFit, type RunPlan } from '../../../training/plan/plan.ts';
import type { ProcessesPlan } from '../../../training/plan/processesPlan.ts';
import { bytesText, flopsPerSecondText, flopText, timeRangeText, timeText } from '../../../units.ts';
import { grouped } from '../../terminal/output.ts';
import { supplyLines } from '../../terminal/supplyText.ts';
import type { ExpectedTime } from './planTime.ts';

export function planLines({ plan, config, corpus, tokenizer }: PreparedPlan): string[] {
  const { parametersByPart, bytes, machineBytes, freeBytes } = plan;
  const parts = Object.entries(parametersByPart).filter(([, count]) => count > 0);
  const { total, ...purposes } = bytes;
  const used = Object.entries(purposes).filter(([, count]) => count > 0);
  const memory = used.map(([purpose, count]) => `${purpose} ${bytesText(count)}`);
  const mean = plan.stages.length > 1 ? 'on average ' : '';
  const flops = `${flopText(plan.flopsPerToken * plan.tokensPerStep)} (${flopText(plan.flopsPerToken)} per token)`;
  const whole = `${plan.epochs.toFixed(2)} epochs, ${flopText(plan.flopsPerToken * plan.tokens)}`;
  const machine = `this machine has ${bytesText(machineBytes)}, ${bytesText(freeBytes)} of it free now`;
  return [
    `parameters   ${grouped(plan.parameters)}: ${parts.map(([part, count]) => `${part} ${grouped(count)}`).join(', ')}`,
    ...(plan.trainedParameters === plan.parameters
      ? []
      : [`trained      ${grouped(plan.trainedParameters)} of them; ${bytesText(plan.checkpointBytes)} a checkpoint`]),
    ...frozenLines(plan).map((line) => `frozen       ${line}`),
    `vocabulary   ${grouped(tokenizer.vocabularySize)} tokens (${config.tokenizer.kind})`,
    `step         ${stepTokensText(plan)} tokens in ${microBatchesText(plan)}, ${mean}${flops}`,
    ...stageLines(plan).map((line) => `stage        ${line}`),
    `run          ${grouped(plan.steps)} steps, ${grouped(plan.tokens)} tokens, ${whole}`,
    ...supplyLines(plan, corpus.packing).map((line) => `windows      ${line}`),
    `memory       ${bytesText(total)} at the peak: ${memory.join(', ')}`,
    `sampling     ${samplingText(plan)}`,
    plan.fits ? `fits         yes, ${machine}` : `fits         no, ${machine}. ${howToFit(plan)}`,
  ];
}

/** e.g. `768` or, with stages, `768 to 3,072` */
export const stepTokensText = ({ stages }: Pick<RunPlan, 'stages'>): string =>
  rangeText(stages.map(({ tokensPerStep }) => tokensPerStep));

/** e.g. `1 to 4 micro-batches` */
function microBatchesText({ stages }: RunPlan): string {
  const counts = stages.map(({ microBatchesPerStep }) => microBatchesPerStep);
  return `${rangeText(counts)} micro-batch${Math.max(...counts) === 1 ? '' : 'es'}`;
}

function rangeText(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? grouped(least) : `${grouped(least)} to ${grouped(most)}`;
}

/** Of a run with several stages a line for each, e.g. `steps 1 to 500: 1 micro-batch, context length 32`. */
export const stageLines = ({ stages, steps }: Pick<RunPlan, 'stages' | 'steps'>): string[] =>
  stages.length === 1
    ? []
    : stages.map(({ fromStep, microBatchesPerStep: count, contextLength, tokensPerStep }, i) => {
        const places = `steps ${grouped(fromStep + 1)} to ${grouped(stages[i + 1]?.fromStep ?? steps)}`;
        const step = `${count} micro-batch${count === 1 ? '' : 'es'} of context length ${grouped(contextLength)}`;
        return `${places}: ${grouped(tokensPerStep)} tokens a step, ${step}`;
      });

function samplingText({ weightBytes, keyValueCacheBytes }: RunPlan): string {
  const { float32, bfloat16, int8 } = weightBytes;
  const others = `${bytesText(bfloat16)} with --weights bfloat16, ${bytesText(int8)} with int8`;
  const cache = `${bytesText(keyValueCacheBytes)} of key-value cache for a full context`;
  return `${cache}, weights ${bytesText(float32)} (${others})`;
}
/** e.g. `134,515,008 parameters, 2,442,240 of them trained`; the second part only if not all are. */
export const parametersText = ({
  parameters,
  trainedParameters = parameters,
}: Partial<Pick<PreparedPlan['plan'], 'trainedParameters'>> & Pick<PreparedPlan['plan'], 'parameters'>): string =>
  `${grouped(parameters)} parameters` +
  (trainedParameters === parameters ? '' : `, ${grouped(trainedParameters)} of them trained`);

/** What each pattern of `training.freeze` matches, e.g. `blocks.0.*: 9 tensors, 12,345 parameters`. */
export const frozenLines = ({ frozen }: PreparedPlan['plan']): string[] =>
  frozen.map(
    ({ pattern, tensors, parameters }) =>
      `${pattern}: ${tensors} ${tensors === 1 ? 'tensor' : 'tensors'}, ${grouped(parameters)} parameters`,
  );

export function timeLine({ basis, low, high, peak, measured }: ExpectedTime, { plan }: PreparedPlan): string {
  const { evaluationsMs, wholeMs } = high;
  const evaluations = evaluationsMs >= wholeMs / 20 ? `, ${percent(evaluationsMs / wholeMs)} of it evaluations` : '';
  if (basis === 'peak' || measured?.msPerStep == null) {
    const measuredAt = `${peak.measuredAt.slice(0, 16).replace('T', ' ')} UTC`;
    const speed = `a matmul peak of ${flopsPerSecondText(peak.gflops * 1e9)}, measured ${measuredAt}`;
    const range = timeRangeText(low.wholeMs, high.wholeMs);
    return `time         ${range}, by ${speed}${evaluations}; --measure 30s narrows it`;
  }
  const { msPerStep, steps, smaller } = measured;
  const tokensPerSecond = (1000 * plan.tokensPerStep) / msPerStep;
  const speed = `${msPerStep.toFixed(1)} ms per step, ${grouped(tokensPerSecond)} tokens/s`;
  const sizes = Object.entries(smaller).map(([key, value]) => `${key} ${value}`);
  const how = sizes.length === 0 ? '' : ` of ${sizes.join(', ')}, scaled up by their FLOPs`;
  const about = timeText((low.wholeMs + high.wholeMs) / 2);
  return `time         about ${about}${evaluations} (${speed}; measured ${steps} steps${how})`;
}

const stepTimeText = (ms: number): string => (ms < 1000 ? `${ms.toFixed(1)} ms` : timeText(ms));

/** What several processes need, and how well they use the time. */
export function processesLine(plan: ProcessesPlan): string {
  const { processes, bytesPerProcess, bytesSentPerStep, networkGigabits, exchangeMs, computeMs, efficiency } = plan;
  const sent = `each sends ${bytesText(bytesSentPerStep)} a step`;
  const traffic = `${sent}, ${stepTimeText(exchangeMs)} at ${networkGigabits} Gbit/s`;
  const known = computeMs !== null && efficiency !== null;
  const use = known ? `, after about ${stepTimeText(computeMs)} of computing: ${percent(efficiency)} of the time` : '';
  return `processes    ${processes}: ${bytesText(bytesPerProcess)} of memory each; ${traffic}${use}`;
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;
