/**
 * What Prometheus and Grafana read at their start, for `compose.yaml` and as a model for
 * installations of one's own.
 */

const SCRAPE = '15s';
/** Where `compose.yaml` puts Prometheus; 9090, its own default, is Wardian's admin listener. */
const PROMETHEUS_URL = 'http://127.0.0.1:9091';
const ADMIN_ADDRESS = '127.0.0.1:9090';

export function prometheusConfig() {
  return {
    global: { scrape_interval: SCRAPE, evaluation_interval: SCRAPE },
    rule_files: ['/etc/prometheus/rules/*.yaml'],
    scrape_configs: [{
      job_name: 'wardian',
      static_configs: [{ targets: [ADMIN_ADDRESS] }],
    }],
  };
}

export function datasources() {
  return {
    apiVersion: 1,
    datasources: [{
      name: 'Wardian Prometheus',
      uid: 'wardian-prometheus',
      type: 'prometheus',
      access: 'proxy',
      url: PROMETHEUS_URL,
      isDefault: true,
      jsonData: { httpMethod: 'POST', timeInterval: SCRAPE },
    }],
  };
}

export function dashboardProviders() {
  return {
    apiVersion: 1,
    providers: [{
      name: 'wardian',
      folder: 'Wardian',
      type: 'file',
      allowUiUpdates: false,
      options: { path: '/var/lib/grafana/dashboards/wardian' },
    }],
  };
}
