/** `clm runs show RUN`: state, evaluations, checkpoints, environment and config of one run. */
import { liveHolder } from '../../../run/lock.ts';
import { parse, stringify } from 'yaml';
import { existsSync, readdirSync, statSync } from 'node:fs';
import type { Config } from '../../../config/schema.ts';
import { adapterOf, adapterText } from '../../../model/adapter.ts';
import { changedKeys } from '../../../config/changedKeys.ts';
import { readBounded } from '../../../storage/boundedFile.ts';
import { relative, resolve } from 'node:path';
import { runPaths } from '../../../run/runPaths.ts';
import { resolveRuns } from '../../../experiments/findRuns.ts';
import { readEvaluations } from '../../../run/readMetrics.ts';
import { summarizeRun } from '../../../experiments/runSummary.ts';
import { trainedMsIn } from '../../../run/trainedTime.ts';
import { readEnvironment, trainedAmount, type Environment } from '../../../run/environment.ts';
import { wrongInput } from '../../../errors.ts';
import { shellWord } from '../../../shellWord.ts';
import { ageText, duration, grouped, note, printJson, printResult } from '../../terminal/output.ts';
import { lossText, renderFacts, renderTable } from '../../terminal/table.ts';
import type { ArgumentsOf } from '../../usage.ts';
import { parametersText } from '../train/planText.ts';
import type { runsShowUsage } from './usage.ts';

/** @param configText of a complete config that this version of clm can read */
export function textOfAdapter(configText: string): string | null {
  const { adapter: section } = parse(configText) as Partial<Pick<Config, 'adapter'>>; // older runs have none
  const adapter = section ? adapterOf({ adapter: section }) : null;
  return adapter && adapterText(adapter);
}

export function show({ run, all, json }: ArgumentsOf<typeof runsShowUsage>): void {
  const [path, another] = resolveRuns([run]);
  if (path === undefined || another !== undefined) throw wrongInput(`${run} contains several runs; name one of them`);
  if (resolve(path) !== resolve(run)) note(`${run} is a folder with one run, ${path}`);
  const summary = summarizeRun(path);
  const paths = runPaths(path);
  const environment = readEnvironment(path) ?? null;
  const holder = liveHolder(path);
  const lock = holder === undefined ? null : { pid: holder.pid, host: holder.host, lockedAt: holder.lockedAt };
  const evaluations = readEvaluations(paths.metrics);
  const checkpoints = existsSync(paths.checkpoints)
    ? readdirSync(paths.checkpoints)
        .filter((name) => !name.startsWith('.'))
        .sort()
    : [];
  const configText = existsSync(paths.config) ? readBounded(paths.config).toString('utf8') : null;
  const changed = configText === null ? undefined : changedKeys(configText);
  const trainedMs = trainedMsIn(paths.metrics);
  if (json) {
    const config: unknown = configText === null ? null : parse(configText);
    const changedConfig = changed ?? null;
    return void printJson({
      ...{ ...summary, lock, trainedMs, evaluations, checkpoints },
      ...{ environment, config, changedConfig },
    });
  }

  const { state, reason, step, steps, bestValidationLoss, bestStep, validationLoss, tokensPerSecond, ageMs } = summary;
  const plan = environment?.plan;
  const facts: [string, string | null][] = [
    ['state', state + (reason === null ? '' : `: ${reason}`)],
    ['process', lock && `${lock.pid} on ${lock.host}, since ${lock.lockedAt}`],
    ['step', steps === null ? grouped(step) : `${grouped(step)} of ${grouped(steps)}`],
    ['model', plan ? `${parametersText(plan)}, ${stepText(plan)}` : null],
    ['adapter', changed && configText !== null ? textOfAdapter(configText) : null],
    [
      'validation loss',
      validationLoss === null
        ? null
        : `${lossText(validationLoss)}, best ${lossText(bestValidationLoss)} at step ${grouped(bestStep ?? 0)}`,
    ],
    ['trained', `${plan ? trainedText(plan, step) : ''}${duration(trainedMs)}, in all its processes`],
    ['speed', tokensPerSecond === null ? null : `${grouped(tokensPerSecond)} tokens/s`],
    ['last update', `${ageText(ageMs)} ago`],
    ['started', existsSync(paths.config) ? statSync(paths.config).mtime.toISOString() : null],
    ['device', summary.device],
    ['config', environment?.config ? relative(process.cwd(), resolve(path, environment.config)) : null],
    ['command', environment?.command?.map(shellWord).join(' ') ?? null],
    ['commit', environment?.commit ?? null],
    ['checkpoints', checkpoints.length === 0 ? 'none' : checkpoints.join(', ')],
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== null);
  for (const line of renderFacts(known)) printResult(line);
  if (evaluations.length > 0) {
    const number = (value: unknown, digits: number): string =>
      typeof value === 'number' ? value.toFixed(digits) : '–';
    printResult('');
    const rows = renderTable(evaluations, [
      { title: 'step', align: 'right', text: (evaluation) => grouped(evaluation.step) },
      { title: 'validation loss', align: 'right', text: ({ loss }) => number(loss, 4) },
      { title: 'perplexity', align: 'right', text: ({ perplexity }) => number(perplexity, 2) },
      { title: 'bits per byte', align: 'right', text: ({ bitsPerByte }) => number(bitsPerByte, 3) },
    ]);
    rows.forEach((line) => printResult(line));
  }
  if (configText === null) return;
  if (all || changed === undefined) return void printResult(`\n${configText.trimEnd()}`);
  printResult('\n# config.yaml; --all shows the defaults too');
  printResult(stringify(changed, { lineWidth: 0, blockQuote: false, flowCollectionPadding: true }).trimEnd());
}

const stepText = ({ tokensPerStep, stages }: NonNullable<Environment['plan']>): string =>
  `${grouped(tokensPerStep)} tokens per step${stages ? ' on average' : ''}`;

const trainedText = (plan: NonNullable<Environment['plan']>, step: number): string =>
  `${grouped(trainedAmount(plan, step, 'tokens'))} tokens in `;
