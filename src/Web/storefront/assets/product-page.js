// A product's page came ready; what is added is what changes by the second: whether it can be bought, and whether it is in a sale.

import { Problem, Unreachable, call } from './api.js';
import { BuyNow } from './buy-now.js';
import { measure, now } from './clock.js';
import { byId, h } from './dom.js';
import { moment } from './format.js';
import { localizePrices } from './prices.js';
import { stageOf } from './sale.js';

const rank = { 'open': 0, 'paused': 1, 'scheduled': 2, 'sold-out': 3 };

localizePrices();
showOffer();
const buy = byId('buy-now');
if (buy) new BuyNow(document.querySelector('.product').dataset.sku, buy).start();

async function showOffer() {
  const offer = byId('offer');
  const { sku } = document.querySelector('.product').dataset;
  try {
    const [{ body }] = await Promise.all([call('/v1/flash-sales?limit=100'), measure()]);
    const [best] = body.items.filter(sale => sale.sku === sku && stageOf(sale, now()) in rank)
      .sort((a, b) => rank[stageOf(a, now())] - rank[stageOf(b, now())] || Date.parse(a.opensAt) - Date.parse(b.opensAt));
    if (!best) {
      offer.replaceChildren('In no sale right now. ', h('a', { href: '/' }, 'See what is'));
      return;
    }
    offer.replaceChildren(h('a', { class: stageOf(best, now()) === 'open' ? 'button-strong' : 'button-quiet', href: `/sales/${best.id}` }, words(best)));
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    offer.textContent = 'Whether it is on sale cannot be looked up right now.';
  }
}

function words(sale) {
  switch (stageOf(sale, now())) {
    case 'open': return 'On sale now: buy it';
    case 'paused': return 'The sale pauses: look at it';
    case 'sold-out': return 'Sold out: units may come back';
    default: return `On sale from ${moment(sale.opensAt)}`;
  }
}
