/** Sessions of several processes in one, without TensorFlow: they score micro-batches and add up what they exchange. */
import type { Session } from '../../../src/runtime/session.ts';

/**
 * Sessions of so many processes. @param scores made of the inputs of a micro-batch
 * @param told the ranks that scored, in their order
 */
export function exchangingSessions(
  processes: number,
  scores: (inputs: Int32Array) => number[],
  told: number[] = [],
): Session[] {
  const exchanges = new Map<string, { all: Float32Array; waiting: (() => void)[] }>();
  const addresses = Array.from({ length: processes }, (_, rank) => `127.0.0.1:${rank + 1}`);
  return addresses.map((_, rank) => {
    const program = (name: string) => {
      let calls = 0;
      return {
        run: async ({ own, inputs }: { own?: Float32Array; inputs?: Int32Array }) => {
          if (own === undefined) {
            told.push(rank);
            const values = Float32Array.from(scores(inputs!));
            return { figures: values, losses: values };
          }
          const key = `${name} ${calls++}`;
          const exchange = exchanges.get(key) ?? { all: new Float32Array(own.length), waiting: [] };
          exchanges.set(key, exchange);
          own.forEach((value, i) => void (exchange.all[i]! += value));
          await new Promise<void>((resolve) => {
            exchange.waiting.push(resolve);
            if (exchange.waiting.length === processes) exchange.waiting.forEach((go) => go());
          });
          return { all: exchange.all };
        },
      };
    };
    const place = processes === 1 ? undefined : { rank, addresses, listensOn: '127.0.0.1' };
    return { settings: { branches: 1, place }, program } as unknown as Session;
  });
}
