/** The options that say how completions are made, as the settings of a completion. */
import { wrongInput } from '../../../errors.ts';
import type { ArgumentsOf } from '../../usage.ts';
import type { chatUsage, sampleUsage } from './usage.ts';

type SettingsArguments = Partial<ArgumentsOf<typeof sampleUsage> & ArgumentsOf<typeof chatUsage>>;

/** The settings that the command line asks for, by their names in settings.ts, not yet checked. */
export function askedSettings(args: SettingsArguments): Record<string, unknown> {
  const { maxTokens, minTokens, temperature, topK, topP, minP } = args;
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = args;
  const { logitBias, stop, stopToken, beyondContext, logProbabilities, seed, samples, specialTokens } = args;
  return {
    ...{ maxTokens, minTokens, temperature, topK, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty },
    ...{ stop, stopTokenIds: stopToken, beyondContext, logProbabilities, seed, samples, specialTokens },
    logitBias: logitBias && biasesOf(logitBias),
  };
}

/** How the command line spells a setting. */
export const optionName = (key: string): string =>
  `--${key === 'stopTokenIds' ? 'stop-token' : key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function biasesOf(written: readonly string[]): Record<string, number> {
  const biases = new Map<string, number>();
  for (const [id, bias] of written.map(parseBias)) {
    if (biases.has(id)) throw wrongInput(`--logit-bias is given twice for the token ${id}`);
    biases.set(id, bias);
  }
  return Object.fromEntries(biases);
}

function parseBias(text: string): [string, number] {
  const match = /^(\d+)=(-?[\d.]+(?:e[+-]?\d+)?)$/i.exec(text);
  if (match === null) throw wrongInput(`--logit-bias must be TOKEN=NUMBER, e.g. 17=-2.5, not "${text}"`);
  return [match[1]!.replace(/^0+(?=\d)/, ''), Number(match[2])];
}
