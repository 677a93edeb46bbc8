/** Which text a run is evaluated on, as far as its directory tells: losses on different texts cannot be compared. */
import type { RunHistory } from '../runHistory.ts';

/** Keys of a source, other than its path, that do not decide which text is scored. */
const withoutEffect = /\.(path|name|weight|finalWeight|weightsAtSteps(\[\d+\]\.\w+)?)$/;
const sourceSetting = /^corpus\.sources\[\d+\]\./;
const splitSetting = /^corpus\.(validation\.(tail|hash)|encodingErrors)$/;
const objective = /^training\.objective\./;
const pathOfText = /^corpus\.(sources\[\d+\]|validation)\.path$/;
const ofFirstSource = /^corpus\.(sources\[0\]|validation|encodingErrors)/;

/**
 * Runs with equal keys have the same validation text and the same objective: a loss of preference pairs depends on its
 * settings. By the hashes of its files and the settings of the split if all
 * runs have recorded their files, else by paths. Files of their own (`corpus.validation.path`) are compared alone; a
 * part of the sources is the same only if all sources are.
 */
export function validationKeys(runs: readonly RunHistory[]): string[] {
  const hasHashes = runs.every(({ corpus }) => corpus !== undefined);
  return runs.map(({ config, corpus }) => {
    const hasOwnFiles = (config.get('corpus.validation.path') ?? null) !== null;
    const entries = [...config].filter(([key]) => {
      if (objective.test(key)) return true;
      if (hasOwnFiles && !ofFirstSource.test(key)) return false;
      if (!hasHashes && pathOfText.test(key)) return !hasOwnFiles || key === 'corpus.validation.path';
      return (sourceSetting.test(key) && !withoutEffect.test(key)) || splitSetting.test(key);
    });
    // With weights, each source is split on its own.
    const isMixture = !hasOwnFiles && [...config].some(([key, value]) => /\.weight$/.test(key) && value !== null);
    const own = hasOwnFiles ? (corpus?.validationFiles ?? 0) : 0;
    const files = corpus?.files.slice(own === 0 ? 0 : -own).map(({ sha256 }) => sha256);
    return JSON.stringify([entries, isMixture, hasHashes ? files : null]);
  });
}

/** The validation text of a run in a message: its files, or the part of the sources. */
export function validationName({ config, corpus }: RunHistory): string {
  const path = config.get('corpus.validation.path') ?? null;
  if (path !== null) return String(path);
  const sources = [...config].filter(([key]) => /^corpus\.sources\[\d+\]\.path$/.test(key)).map(([, each]) => each);
  const hash = config.get('corpus.validation.hash') ?? null;
  const part =
    hash === null ? `the last ${percent(config.get('corpus.validation.tail'))}` : `${percent(hash)} of the documents`;
  const bytes = corpus?.files.reduce((sum, file) => sum + file.bytes, 0);
  const size = bytes === undefined ? '' : ` (${bytes.toLocaleString('en-US')} bytes)`;
  const files =
    sources.length > 2 ? `${String(sources[0])} and ${sources.length - 1} more sources` : sources.join(', ');
  return `${part} of ${files}${size}`;
}

const percent = (fraction: unknown): string =>
  typeof fraction === 'number' ? `${Number((100 * fraction).toPrecision(3))} %` : 'part';
