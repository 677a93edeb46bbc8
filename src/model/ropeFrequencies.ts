/** The frequencies of RoPE, with the scalings for longer contexts. */
import type { ModelConfig } from './parameters.ts';

type RopeConfig = Pick<ModelConfig, 'headSize' | 'ropeTheta' | 'ropeScaling'>;

/** The D/2 frequencies of RoPE, in radians a position. */
export function ropeFrequencies({ headSize: D, ropeTheta, ropeScaling }: RopeConfig): number[] {
  const plain = Array.from({ length: D / 2 }, (_, i) => ropeTheta ** ((-2 * i) / D));
  if (ropeScaling === null) return plain;
  if (ropeScaling.kind === 'linear') return plain.map((frequency) => frequency / ropeScaling.factor);
  // Llama 3.1: short wavelengths stay, long ones are stretched by the factor, those between are blended
  // (https://github.com/meta-llama/llama-models, apply_scaling).
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContextLength } = ropeScaling;
  return plain.map((frequency) => {
    const turns = (originalContextLength * frequency) / (2 * Math.PI); // within the original window
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return kept * frequency + ((1 - kept) * frequency) / factor;
  });
}
