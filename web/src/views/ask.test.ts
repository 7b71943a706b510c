import { expect, test } from 'vitest';
import { endOf, names } from './ask';

const at = (namespace: string, name: string, kind: string, end: string) => ({
  id: kind === 'Outside' ? name : `${namespace}/${name}[${kind}]`,
  end,
  namespace,
  name,
  kind,
});
const places = [
  at('shop', 'shop', 'Namespace', 'shop/*'),
  at('', 'unreachable', 'Outside', ''),
  at('shop', 'web', 'Deployment', 'shop/Deployment/web'),
  at('shop', 'job', 'Job', 'shop/Job/job'),
  at('shop', 'job', 'CronJob', 'shop/CronJob/job'),
  at('', 'internet', 'Outside', '1.1.1.1'),
];

test('places are offered once, by the names that the page shows', () => {
  expect(names(places)).toEqual(['shop', 'shop/web', 'shop/job', 'internet']);
});

test.each([
  ['a name', ' shop/web ', 'shop/Deployment/web'],
  ['an id', 'shop/job[Job]', 'shop/Job/job'],
  ['a namespace', 'shop', 'shop/*'],
  ['what is outside', 'internet', '1.1.1.1'],
  ['a name of two', 'shop/job', 'shop/job'],
  ['anything else', '10.0.0.0/8', '10.0.0.0/8'],
])('%s', (_, text, end) => expect(endOf(text, places)).toBe(end));
