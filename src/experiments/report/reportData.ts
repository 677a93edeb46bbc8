/** The data of a report's charts, embedded in the page: thinned curves as 32-bit floats in base64. */
import type { TrainedStage } from '../../run/environment.ts';
import type { EvaluationRecord } from '../../run/metrics.ts';
import type { Comparison, Measure } from '../comparison/comparison.ts';
import { unitText } from '../comparison/wording.ts';
import type { RunHistory } from '../runHistory.ts';
import { finite } from '../runSummary.ts';
import { thinned } from './downsample.ts';

/** Float32 values, little-endian, in base64. */
export type EncodedFloats = string;

export interface EncodedCurve {
  x: EncodedFloats;
  y: EncodedFloats;
  meanX: EncodedFloats;
  mean: EncodedFloats;
}

export interface ReportRun {
  /** Index in `ReportData.settings`. */
  setting: number;
  tokensPerStep: number | null;
  /** Of a run with several; else null. */
  stages: readonly TrainedStage[] | null;
  flopsPerToken: number | null;
  /** Training time in ms at some steps, for the time axis. */
  clockStep: EncodedFloats;
  clockMs: EncodedFloats;
  curves: Record<string, EncodedCurve>;
}

export interface ReportChart {
  /** Key of its curves in `ReportRun.curves`. */
  key: string;
  title: string;
  unit: string;
  logY: boolean;
}

export interface ReportData {
  charts: ReportChart[];
  /** Names of the settings, in the order of the table; the runs of each share a line. */
  settings: string[];
  runs: ReportRun[];
}

const updateCharts = [
  { key: 'loss', title: 'Training loss', unit: 'nats per token', logY: false },
  { key: 'learningRate', title: 'Learning rate', unit: '', logY: false },
  { key: 'gradientNorm', title: 'Gradient norm', unit: '', logY: true },
  { key: 'tokensPerSecond', title: 'Throughput', unit: 'tokens per second', logY: false },
] as const;

/** Of the validation pairs of runs on preferences. */
const preferenceCharts = [
  { key: 'accuracy', title: 'Validation accuracy' },
  { key: 'margin', title: 'Validation margin' },
  { key: 'rewardChosen', title: 'Validation reward of the chosen' },
  { key: 'rewardRejected', title: 'Validation reward of the rejected' },
] as const;

/** Buckets of one chart, over all runs. Keeps the page of 20 long runs below 3 MB. */
const bucketsOfAllRuns = 14_000;

export function reportData(runs: readonly RunHistory[], { groups, measure }: Comparison): ReportData {
  const settingOf = new Map(groups.flatMap((group, i) => group.runs.map(({ path }) => [path, i] as const)));
  const unit = unitText({ measure, groups });
  const buckets = Math.max(100, Math.min(1500, Math.floor(bucketsOfAllRuns / runs.length)));
  const lossesOfSources = runs.flatMap(({ evaluations }) =>
    evaluations.map((evaluation) => sourceLosses(evaluation, measure)),
  );
  const sources = [...new Set(lossesOfSources.flatMap((losses) => Object.keys(losses)))];
  const evaluationCharts = [
    { key: 'validation', title: 'Validation loss', of: (evaluation: EvaluationRecord) => finite(evaluation[measure]) },
    ...sources.map((source) => ({
      key: `validation/${source}`,
      title: `Validation loss of ${source}`,
      of: (evaluation: EvaluationRecord) => sourceLosses(evaluation, measure)[source] ?? null,
    })),
  ];
  const ofPairs = preferenceCharts.filter(({ key }) =>
    runs.some(({ evaluations }) => evaluations.some((evaluation) => evaluation[key] !== undefined)),
  );
  const pairCharts = ofPairs.map(({ key, title }) => ({
    key: `validation/${key}`,
    title,
    of: (evaluation: EvaluationRecord) => finite(evaluation[key]),
  }));
  const unitOf = ofPairs.length > 0 ? '' : unit;
  const charts = [
    ...evaluationCharts.map(({ key, title }) => ({ key, title, unit: unitOf, logY: false })),
    ...pairCharts.map(({ key, title }) => ({ key, title, unit: '', logY: false })),
    ...updateCharts.map((chart) => (chart.key === 'loss' && ofPairs.length > 0 ? { ...chart, unit: '' } : chart)),
  ];
  return {
    charts: charts.filter(({ key }) => key !== 'validation' || runs.some(({ evaluations }) => evaluations.length > 0)),
    settings: groups.map(({ name }) => name),
    runs: runs.map(({ summary, environment, updates, evaluations }): ReportRun => {
      const clock = thinned(updates.step, updates.trainedMs, 200);
      const ofUpdates = updateCharts.map(({ key }) => {
        // A learning rate is smooth: few points suffice.
        const curve = thinned(updates.step, updates[key], key === 'learningRate' ? Math.min(buckets, 200) : buckets);
        return [key, encodedCurve(curve)] as const;
      });
      const steps = evaluations.map(({ step }) => step);
      const ofEvaluations = [...evaluationCharts, ...pairCharts].map(({ key, of }) => {
        const losses = evaluations.map((evaluation) => of(evaluation) ?? NaN);
        return [key, encodedCurve(thinned(steps, losses, buckets))] as const;
      });
      return {
        setting: settingOf.get(summary.path)!,
        tokensPerStep: environment?.plan?.tokensPerStep ?? null,
        flopsPerToken: environment?.plan?.flopsPerToken ?? null,
        stages: environment?.plan?.stages ?? null,
        clockStep: encoded(clock.meanX),
        clockMs: encoded(clock.mean),
        curves: Object.fromEntries([...ofUpdates, ...ofEvaluations]),
      };
    }),
  };
}

/** Losses by source, if the evaluation has them: `sources: { name: { loss } }` or a list of `{ name, loss }`. */
function sourceLosses(evaluation: EvaluationRecord, measure: Measure): Record<string, number> {
  const { sources } = evaluation;
  if (typeof sources !== 'object' || sources === null) return {};
  const entries = Array.isArray(sources)
    ? sources.map(
        (source: { name?: unknown; path?: unknown; loss?: unknown; bitsPerByte?: unknown }) =>
          [String(source?.name ?? source?.path), source?.[measure]] as const,
      )
    : Object.entries(sources).map(
        ([name, value]) =>
          [name, (value as { loss?: unknown; bitsPerByte?: unknown } | null)?.[measure] ?? value] as const,
      );
  return Object.fromEntries(
    entries.filter((entry): entry is readonly [string, number] => typeof entry[1] === 'number'),
  );
}

const encodedCurve = ({ x, y, meanX, mean }: ReturnType<typeof thinned>): EncodedCurve => ({
  x: encoded(x),
  y: encoded(y),
  meanX: encoded(meanX),
  mean: encoded(mean),
});

const encoded = (values: Float32Array): EncodedFloats =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
