/// Scripts that PostgreSQL's programs wrote.
enum ScriptFixtures {
    /// `pg_dump -Fp --no-owner --no-comments` of PostgreSQL 18, of the database of ``ArchiveFixtures``.
    static let plainDump = #"""
        --
        -- PostgreSQL database dump
        --

        \restrict RestrictKey

        -- Dumped from database version 18.6
        -- Dumped by pg_dump version 18.6

        SET statement_timeout = 0;
        SET lock_timeout = 0;
        SET idle_in_transaction_session_timeout = 0;
        SET transaction_timeout = 0;
        SET client_encoding = 'UTF8';
        SET standard_conforming_strings = on;
        SELECT pg_catalog.set_config('search_path', '', false);
        SET check_function_bodies = false;
        SET xmloption = content;
        SET client_min_messages = warning;
        SET row_security = off;

        --
        -- Name: Odd "Schema; Type: SCHEMA; Schema: -; Owner: -
        --

        CREATE SCHEMA "Odd ""Schema";


        --
        -- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -
        --

        CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;


        --
        -- Name: f(); Type: FUNCTION; Schema: public; Owner: -
        --

        CREATE FUNCTION public.f() RETURNS text
            LANGUAGE sql
            AS $$
        SELECT '
        COPY public.fake (n) FROM stdin;
        1
        \.
        ';
        $$;


        SET default_tablespace = '';

        SET default_table_access_method = heap;

        --
        -- Name: naïve table.x; Type: TABLE; Schema: Odd "Schema; Owner: -
        --

        CREATE TABLE "Odd ""Schema"."naïve
        table.x" (
            "a ""b""" text
        );


        --
        -- Name: bare; Type: TABLE; Schema: public; Owner: -
        --

        CREATE TABLE public.bare (
        );


        --
        -- Name: dots; Type: TABLE; Schema: public; Owner: -
        --

        CREATE TABLE public.dots (
            v text
        );


        --
        -- Name: part; Type: TABLE; Schema: public; Owner: -
        --

        CREATE TABLE public.part (
            k integer,
            v text
        )
        PARTITION BY LIST (k);


        --
        -- Name: part_1; Type: TABLE; Schema: public; Owner: -
        --

        CREATE TABLE public.part_1 (
            k integer,
            v text
        );


        --
        -- Name: part_1; Type: TABLE ATTACH; Schema: public; Owner: -
        --

        ALTER TABLE ONLY public.part ATTACH PARTITION public.part_1 FOR VALUES IN (1);


        --
        -- Data for Name: naïve table.x; Type: TABLE DATA; Schema: Odd "Schema; Owner: -
        --

        COPY "Odd ""Schema"."naïve
        table.x" ("a ""b""") FROM stdin;
        line\nfeed \\. \\N
        line\nfeed \\. \\N
        line\nfeed \\. \\N
        line\nfeed \\. \\N
        \.


        --
        -- Data for Name: bare; Type: TABLE DATA; Schema: public; Owner: -
        --

        COPY public.bare  FROM stdin;



        \.


        --
        -- Data for Name: dots; Type: TABLE DATA; Schema: public; Owner: -
        --

        COPY public.dots (v) FROM stdin;
        \\.
        \N
        .
        \n
        12345678
        \.


        --
        -- Data for Name: part_1; Type: TABLE DATA; Schema: public; Owner: -
        --

        COPY public.part_1 (k, v) FROM stdin;
        1	
        1	x
        1	xx
        1	xxx
        1	xxxx
        1	xxxxx
        1	xxxxxx
        1	xxxxxxx
        1	xxxxxxxx
        \.


        --
        -- Name: 1001..3000000000; Type: BLOB METADATA; Schema: -; Owner: -
        --

        SELECT pg_catalog.lo_create('1001');
        SELECT pg_catalog.lo_create('1003');
        SELECT pg_catalog.lo_create('3000000000');

        --
        -- Data for Name: 1001..3000000000; Type: BLOBS; Schema: -; Owner: -
        --

        BEGIN;

        SELECT pg_catalog.lo_open('1001', 131072);
        SELECT pg_catalog.lowrite(0, '\x68656c6c6f');
        SELECT pg_catalog.lo_close(0);

        SELECT pg_catalog.lo_open('1003', 131072);
        SELECT pg_catalog.lo_close(0);

        SELECT pg_catalog.lo_open('3000000000', 131072);
        SELECT pg_catalog.lowrite(0, '\x776f726c640a');
        SELECT pg_catalog.lo_close(0);

        COMMIT;

        --
        -- PostgreSQL database dump complete
        --

        \unrestrict RestrictKey


        """#

    /// `pg_dumpall --globals-only` of PostgreSQL 14.
    static let globals14 = #"""
        --
        -- PostgreSQL database cluster dump
        --

        \restrict RestrictKey

        SET default_transaction_read_only = off;

        SET client_encoding = 'UTF8';
        SET standard_conforming_strings = on;

        --
        -- Roles
        --

        CREATE ROLE "App User ""é";
        ALTER ROLE "App User ""é" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION \#
        NOBYPASSRLS CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy';
        CREATE ROLE "UPPER";
        ALTER ROLE "UPPER" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
        CREATE ROLE postgres;
        ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;
        CREATE ROLE readers;
        ALTER ROLE readers WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
        COMMENT ON ROLE readers IS 'it''s; a -- comment';
        --
        -- User Configurations
        --

        --
        -- User Config "readers"
        --

        ALTER ROLE readers SET work_mem TO '64MB';


        --
        -- Role memberships
        --

        GRANT pg_monitor TO "UPPER" GRANTED BY postgres;
        GRANT readers TO "App User ""é" WITH ADMIN OPTION GRANTED BY postgres;


        --
        -- Tablespaces
        --

        CREATE TABLESPACE "Fast one" OWNER readers LOCATION '/srv/tablespaces/ts 14';
        ALTER TABLESPACE "Fast one" SET (random_page_cost=1.1);


        \unrestrict RestrictKey

        --
        -- PostgreSQL database cluster dump complete
        --


        """#

    /// `pg_dumpall --globals-only` of PostgreSQL 16.
    static let globals16 = #"""
        --
        -- PostgreSQL database cluster dump
        --

        \restrict RestrictKey

        SET default_transaction_read_only = off;

        SET client_encoding = 'UTF8';
        SET standard_conforming_strings = on;

        --
        -- Roles
        --

        CREATE ROLE "App User ""é";
        ALTER ROLE "App User ""é" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION \#
        NOBYPASSRLS CONNECTION LIMIT 5 PASSWORD 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy';
        CREATE ROLE "UPPER";
        ALTER ROLE "UPPER" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
        CREATE ROLE postgres;
        ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;
        CREATE ROLE readers;
        ALTER ROLE readers WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
        COMMENT ON ROLE readers IS 'it''s; a -- comment';

        --
        -- User Configurations
        --

        --
        -- User Config "readers"
        --

        ALTER ROLE readers SET work_mem TO '64MB';


        --
        -- Role memberships
        --

        GRANT pg_monitor TO "UPPER" WITH INHERIT TRUE GRANTED BY postgres;
        GRANT readers TO "App User ""é" WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;


        --
        -- Role privileges on configuration parameters
        --

        GRANT SET ON PARAMETER work_mem TO readers;


        --
        -- Tablespaces
        --

        CREATE TABLESPACE "Fast one" OWNER readers LOCATION '/srv/tablespaces/ts 16';
        ALTER TABLESPACE "Fast one" SET (random_page_cost=1.1);


        \unrestrict RestrictKey

        --
        -- PostgreSQL database cluster dump complete
        --


        """#
}
