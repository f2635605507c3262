-- How large is the smallest unit of a currency, where it is not a hundredth?
--
-- A currency that is not here has hundredths. https://docs.stripe.com/currencies: Stripe lists ugx
-- without decimals, but gives its amounts, like those of isk, in hundredths.
--
-- Columns:
--   minor_unit: an amount of Stripe's, times this, is in the currency's major unit
CREATE OR REPLACE VIEW currencies AS
SELECT currency, CAST(minor_unit AS decimal(4, 3)) AS minor_unit
FROM (
  VALUES
    ('bif', DECIMAL '1.000'), ('clp', DECIMAL '1.000'), ('djf', DECIMAL '1.000'),
    ('gnf', DECIMAL '1.000'), ('jpy', DECIMAL '1.000'), ('kmf', DECIMAL '1.000'),
    ('krw', DECIMAL '1.000'), ('mga', DECIMAL '1.000'), ('pyg', DECIMAL '1.000'),
    ('rwf', DECIMAL '1.000'), ('vnd', DECIMAL '1.000'), ('vuv', DECIMAL '1.000'),
    ('xaf', DECIMAL '1.000'), ('xof', DECIMAL '1.000'), ('xpf', DECIMAL '1.000'),
    ('bhd', DECIMAL '0.001'), ('jod', DECIMAL '0.001'), ('kwd', DECIMAL '0.001'),
    ('omr', DECIMAL '0.001'), ('tnd', DECIMAL '0.001')
) AS t (currency, minor_unit)
