-- Up Migration
create table stock (item text primary key, quantity int not null check (quantity >= 0));
create table orders (id int generated always as identity primary key, item text not null references stock);

-- Down Migration
drop table orders;
drop table stock;
