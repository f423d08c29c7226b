-- Data to measure with: `accounts` rows of pgbench's four tables (its blank filler replaced by words and hex, since as
-- pgbench makes them they compress 10 : 1), and `documents` rows of JSON and random text.
SET client_min_messages = warning;

CREATE FUNCTION words(seed bigint, count integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(('{account,agent,angle,backup,bracket,cabinet,client,colour,concrete,contract,corner,customer,delivery,'
        'depth,design,district,drawing,drill,engineer,estimate,fabric,facade,footing,foundation,frame,gauge,gravel,'
        'harbour,height,invoice,junction,kilowatt,ladder,letter,lighting,material,measure,monument,mounting,neon,'
        'order,paint,panel,permit,plaza,pole,price,project,quarter,raceway,request,restore,review,sheet,sign,site,'
        'solver,steel,storey,street,survey,timber,transport,weight}'::text[])[1 + (hashint8extended(seed, n) & 63)], ' ')
    FROM generate_series(1, count) AS n
$$;

CREATE TABLE pgbench_branches (bid integer NOT NULL, bbalance integer, filler character(88));
CREATE TABLE pgbench_tellers (tid integer NOT NULL, bid integer, tbalance integer, filler character(84));
CREATE TABLE pgbench_accounts (aid integer NOT NULL, bid integer, abalance integer, filler character(84));
CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler character(22));
CREATE TABLE documents (id bigint NOT NULL, created_at timestamptz NOT NULL, body jsonb NOT NULL, content text NOT NULL);

INSERT INTO pgbench_branches SELECT n, 0, words(n, 8) FROM generate_series(1, :accounts / 100000) AS n;
INSERT INTO pgbench_tellers SELECT n, 1 + n / 10, 0, words(n, 8) FROM generate_series(1, :accounts / 10000) AS n;
INSERT INTO pgbench_accounts
SELECT n, 1 + (n - 1) / 100000, hashint4(n) % 5000,
    rpad(left(words(hashint4(n) & 2047, 9), 67), 67) || ' ' || to_hex(hashint8extended(n, 0))
FROM generate_series(1, :accounts) AS n;
INSERT INTO pgbench_history
SELECT 1 + n % 600, 1 + n % 60, n, hashint4(n) % 5000, timestamp '2025-01-01' + n * interval '1 second', to_hex(hashint8(n))
FROM generate_series(1, :accounts / 60) AS n;
INSERT INTO documents
SELECT n, timestamptz '2025-01-01Z' + n * interval '17 seconds',
    jsonb_build_object('id', md5(n::text)::uuid, 'status', (ARRAY['queued', 'running', 'done'])[1 + n % 3],
        'score', hashint8(n) % 100000, 'title', words(n, 5), 'tags', string_to_array(words(-n, 3), ' ')),
    words(hashint8(n) & 2047, 14) || ' ' || encode(sha256(int8send(n)), 'base64')
FROM generate_series(1::bigint, :documents) AS n;

ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid);
ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid);
ALTER TABLE documents ADD PRIMARY KEY (id);
CREATE INDEX ON documents (created_at);
DROP FUNCTION words;
VACUUM (FREEZE, ANALYZE);
