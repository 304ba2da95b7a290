import { describeShop } from '../../test/support/shop.ts';
import { handler } from './handler.ts';

describeShop(handler);
