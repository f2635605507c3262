-- Which states did each of Stripe's objects have, and which of them is the latest?
--
-- The rows of object_events in order. The latest state is the one of the latest second. Within one
-- second `….created` is first, then come the other events, a snapshot, and `….deleted`. Of two
-- other events, B is after A if every value in B's `previous_attributes` is what A's object has at
-- that place, and not the other way round as well; the last is the one that no other is after.
-- Where that leaves more than one, the later arrival is the last, then the greater event id. So the
-- order in which events were delivered, and how often, changes nothing.
--
-- A deletion is an event `….deleted`, except of a subscription: a cancelled subscription is not
-- deleted, its status is `canceled`. Where a deletion carries nothing but the id, `data` is that of
-- the state before.
--
-- Columns:
--   data: the object as JSON text
--   is_deleted: whether the object is deleted as of this state
--   is_last: whether it is the last state of its second
--   is_latest: whether it is the object's latest state
CREATE OR REPLACE VIEW object_states AS
-- data and previous are large: no window and no sort carries them. They are joined to the ranks, which
-- stand at the right of the join: Trino keeps that side in memory.
WITH keys AS (
  SELECT
    account, livemode, object, id, as_of, event_id, type, api_version, source, received_at,
    state_key, is_id_only,
    date_trunc('second', as_of) AS second,
    CASE
      WHEN type LIKE '%.created' THEN 1
      WHEN type IS NULL THEN 3
      WHEN type LIKE '%.deleted' THEN 4
      ELSE 2
    END AS place
  FROM object_events
),
counted AS (
  SELECT *,
    count(*) OVER (PARTITION BY account, livemode, object, id, second, place) AS in_place
  FROM keys
),
-- the seconds with more than one event that is neither the first nor the last by its type
crowded AS (
  SELECT
    counted.account, counted.livemode, counted.object, counted.id, counted.second,
    array_agg(CAST(ROW(counted.state_key, states.data, states.previous)
      AS ROW(state_key varchar, data varchar, previous varchar))) AS states
  FROM object_events AS states
  JOIN counted
    ON counted.object = states.object AND counted.id = states.id
    AND counted.state_key = states.state_key
  WHERE place = 2 AND in_place > 1
  GROUP BY counted.account, counted.livemode, counted.object, counted.id, counted.second
),
pairs AS (
  SELECT account, livemode, object, id, second, b.state_key AS b, a.state_key AS a,
    json_parse(b.previous) AS previous, json_parse(a.data) AS data
  FROM crowded
  CROSS JOIN UNNEST(states) AS b (state_key, data, previous)
  CROSS JOIN UNNEST(states) AS a (state_key, data, previous)
  WHERE b.previous IS NOT NULL AND b.state_key <> a.state_key
),
-- the values of b's previous_attributes beside those of a's object, four levels deep as in
-- items.data[0].quantity; the parts of a list are its length and its elements
level_1 AS (
  SELECT account, livemode, object, id, second, b, a, part AS previous,
    IF(name = '', data, element_at(of_data, name)) AS data
  FROM (
    SELECT account, livemode, object, id, second, b, a, data,
      coalesce(
        TRY_CAST(previous AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(previous)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(previous) AS json)] || TRY_CAST(previous AS array(json))
        )
      ) AS of_previous,
      coalesce(
        TRY_CAST(data AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(data)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(data) AS json)] || TRY_CAST(data AS array(json))
        )
      ) AS of_data,
      map(ARRAY[''], ARRAY[previous]) AS whole
    FROM pairs
  )
  CROSS JOIN UNNEST(IF(cardinality(of_previous) > 0, of_previous, whole)) AS parts (name, part)
),
level_2 AS (
  SELECT account, livemode, object, id, second, b, a, part AS previous,
    IF(name = '', data, element_at(of_data, name)) AS data
  FROM (
    SELECT account, livemode, object, id, second, b, a, data,
      coalesce(
        TRY_CAST(previous AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(previous)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(previous) AS json)] || TRY_CAST(previous AS array(json))
        )
      ) AS of_previous,
      coalesce(
        TRY_CAST(data AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(data)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(data) AS json)] || TRY_CAST(data AS array(json))
        )
      ) AS of_data,
      map(ARRAY[''], ARRAY[previous]) AS whole
    FROM level_1
  )
  CROSS JOIN UNNEST(IF(cardinality(of_previous) > 0, of_previous, whole)) AS parts (name, part)
),
level_3 AS (
  SELECT account, livemode, object, id, second, b, a, part AS previous,
    IF(name = '', data, element_at(of_data, name)) AS data
  FROM (
    SELECT account, livemode, object, id, second, b, a, data,
      coalesce(
        TRY_CAST(previous AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(previous)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(previous) AS json)] || TRY_CAST(previous AS array(json))
        )
      ) AS of_previous,
      coalesce(
        TRY_CAST(data AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(data)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(data) AS json)] || TRY_CAST(data AS array(json))
        )
      ) AS of_data,
      map(ARRAY[''], ARRAY[previous]) AS whole
    FROM level_2
  )
  CROSS JOIN UNNEST(IF(cardinality(of_previous) > 0, of_previous, whole)) AS parts (name, part)
),
level_4 AS (
  SELECT account, livemode, object, id, second, b, a, part AS previous,
    IF(name = '', data, element_at(of_data, name)) AS data
  FROM (
    SELECT account, livemode, object, id, second, b, a, data,
      coalesce(
        TRY_CAST(previous AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(previous)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(previous) AS json)] || TRY_CAST(previous AS array(json))
        )
      ) AS of_previous,
      coalesce(
        TRY_CAST(data AS map(varchar, json)),
        map(
          transform(sequence(0, json_array_length(data)), n -> CAST(n AS varchar)),
          ARRAY[CAST(json_array_length(data) AS json)] || TRY_CAST(data AS array(json))
        )
      ) AS of_data,
      map(ARRAY[''], ARRAY[previous]) AS whole
    FROM level_3
  )
  CROSS JOIN UNNEST(IF(cardinality(of_previous) > 0, of_previous, whole)) AS parts (name, part)
),
after AS (
  SELECT account, livemode, object, id, second, b, a
  FROM level_4
  GROUP BY account, livemode, object, id, second, b, a
  HAVING bool_and(coalesce(json_format(previous), 'null') = coalesce(json_format(data), 'null'))
),
later AS (
  SELECT object, id, a AS state_key, count(*) AS later_states
  FROM (
    SELECT account, livemode, object, id, second, min(a) AS a
    FROM after
    GROUP BY account, livemode, object, id, second, least(a, b), greatest(a, b)
    -- each after the other tells nothing
    HAVING count(*) = 1
  )
  GROUP BY account, livemode, object, id, second, a
),
ranked AS (
  SELECT
    counted.*,
    row_number() OVER (
      PARTITION BY account, livemode, counted.object, counted.id
      ORDER BY second, place, coalesce(later_states, 0) DESC, as_of,
        received_at NULLS FIRST, counted.state_key
    ) AS nth
  FROM counted
  LEFT JOIN later
    ON later.object = counted.object AND later.id = counted.id
    AND later.state_key = counted.state_key
),
placed AS (
  SELECT *,
    nth = max(nth) OVER (PARTITION BY account, livemode, object, id, second) AS is_last,
    nth = max(nth) OVER (PARTITION BY account, livemode, object, id) AS is_latest,
    CASE WHEN is_id_only THEN coalesce(
      last_value(IF(is_id_only, NULL, state_key)) IGNORE NULLS OVER (
        PARTITION BY account, livemode, object, id ORDER BY nth
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      ), state_key) ELSE state_key END AS data_key
  FROM ranked
)
SELECT
  placed.account, placed.livemode, placed.object, placed.id, placed.as_of, placed.event_id,
  placed.type, placed.api_version, placed.source, placed.received_at,
  states.data,
  IF(data_key = placed.state_key, states.previous) AS previous,
  placed.place = 4 AND placed.object <> 'subscription' AS is_deleted,
  is_last, is_latest, placed.state_key
FROM object_events AS states
JOIN placed
  ON placed.object = states.object AND placed.id = states.id AND placed.data_key = states.state_key
