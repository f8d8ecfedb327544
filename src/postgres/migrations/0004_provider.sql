-- Schema 4: more of what is learned of a provider. ProviderState says what the columns are.

ALTER TABLE @providers ADD COLUMN input_bytes bigint NOT NULL DEFAULT 0;  -- 0: not known
ALTER TABLE @providers ADD COLUMN stopped     bigint NOT NULL DEFAULT 0;  -- 1: it refuses every text
