/** What a dashboard can be narrowed to: the data source, nodes, tenants and apps. */

import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  DatasourceVariableBuilder, QueryVariableBuilder, VariableRefresh, VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { VariableModel } from '@grafana/grafana-foundation-sdk/dashboard';

/** Of every panel and query: the data source that is chosen on the dashboard. */
export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** What "all" stands for; a matcher without an empty value, which would match anything. */
const ALL = '.+';

function labelValues(name: string, selector: string): Builder<VariableModel> {
  return new QueryVariableBuilder(name)
    .label(name)
    .datasource(DATASOURCE)
    .query({ query: `label_values(${selector}, ${name})`, refId: name })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(ALL)
    .current({ selected: true, text: ['All'], value: ['$__all'] });
}

const datasource = new DatasourceVariableBuilder('datasource').label('data source')
  .type('prometheus');
const instance = labelValues('instance', 'wardian_build_info');
const tenant = labelValues('tenant', 'wardian_app_requests_total{instance=~"$instance"}');
const app = labelValues(
  'app', 'wardian_app_requests_total{instance=~"$instance",tenant=~"$tenant"}');

export const NODE_VARIABLES = [datasource, instance];
export const APP_VARIABLES = [datasource, instance, tenant, app];
