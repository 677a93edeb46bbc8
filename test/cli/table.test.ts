import { describe, expect, it } from 'vitest';
import { renderFacts, renderTable, wrapped, type Column } from '../../src/cli/terminal/table.ts';

interface Row {
  name: string;
  step: string;
  loss: string;
  device: string;
}
const rows: Row[] = [
  { name: 'rates/learning-rate-0.001-seed-1', step: '1,000/1,000', loss: '1.2345', device: 'cpu' },
  { name: 'rates/learning-rate-0.001-seed-12', step: '20/1,000', loss: '10.5000', device: 'cuda' },
];
const columns: Column<Row>[] = [
  { title: 'name', text: ({ name }) => name },
  { title: 'step', align: 'right', text: ({ step }) => step },
  { title: 'loss', align: 'right', text: ({ loss }) => loss },
  { title: '', text: () => '' },
  { title: 'device', isOptional: true, text: ({ device }) => device },
];
const table = (width: number): string[] => renderTable(rows, columns, width);

describe('a table', () => {
  it('has aligned columns, without empty ones', () => {
    expect(table(Infinity)).toEqual([
      'name                                      step     loss  device',
      'rates/learning-rate-0.001-seed-1   1,000/1,000   1.2345  cpu',
      'rates/learning-rate-0.001-seed-12     20/1,000  10.5000  cuda',
    ]);
  });

  it('leaves out what can be missed if the terminal is too narrow', () => {
    expect(table(60)).toEqual([
      'name                                      step     loss',
      'rates/learning-rate-0.001-seed-1   1,000/1,000   1.2345',
      'rates/learning-rate-0.001-seed-12     20/1,000  10.5000',
    ]);
    expect(table(62)[0]).toBe(table(61)[0]);
    expect(table(63)[0]).toContain('device');
  });

  it('then takes several lines a row, with names and numbers whole', () => {
    expect(table(40)).toEqual([
      'name',
      '         step     loss',
      'rates/learning-rate-0.001-seed-1',
      '  1,000/1,000   1.2345',
      'rates/learning-rate-0.001-seed-12',
      '     20/1,000  10.5000',
    ]);
    expect(table(20)).toEqual([
      'name',
      '         step',
      '     loss',
      'rates/learning-rate-0.001-seed-1',
      '  1,000/1,000',
      '   1.2345',
      'rates/learning-rate-0.001-seed-12',
      '     20/1,000',
      '  10.5000',
    ]);
  });
});

describe('facts', () => {
  it('go on below their beginning, with words whole', () => {
    const facts = [
      ['state', 'done'],
      ['model', '3,737,856 parameters, 1,024 tokens per step'],
    ] as const;
    expect(renderFacts(facts, 0, 34)).toEqual([
      'state  done',
      'model  3,737,856 parameters, 1,024',
      '       tokens per step',
    ]);
    expect(renderFacts(facts)).toEqual(['state  done', 'model  3,737,856 parameters, 1,024 tokens per step']);
    expect(wrapped('1,234,567,890', 5)).toEqual(['1,234,567,890']);
  });
});
