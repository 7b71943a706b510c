import { expect, test } from 'vitest';
import { paragraphs } from './statement';

test('indented lines belong to the one above', () => {
  expect(paragraphs(['Window: a day.', 'Denied only:', '  shop/a', '  shop/b', 'The end.'])).toEqual([
    { sentence: 'Window: a day.', of: [] },
    { sentence: 'Denied only:', of: ['shop/a', 'shop/b'] },
    { sentence: 'The end.', of: [] },
  ]);
  expect(paragraphs(['  alone'])).toEqual([{ sentence: 'alone', of: [] }]);
});
